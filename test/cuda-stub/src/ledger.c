/**
 * @file The ledger: lines of counts, written to a log as one JSON object per section.
 *
 * EMOQ_STUB_LOG names the log. EMOQ_STUB_SECTION names the current section; a program changes it (in Node:
 * process.env.EMOQ_STUB_SECTION = 'run 1') while nothing runs, and the next call that counts something closes the
 * section before it. EMOQ_STUB_MIB is the memory of the device, EMOQ_STUB_TRACE=1 logs every single event as well.
 */
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Device memory of an H200 as its driver reports it. */
#define DEFAULT_MIB 143771
#define BUCKETS 4096
#define NAME_BYTES 96

struct Entry {
  Entry *next_in_bucket;
  Entry *next;
  char *kind;
  char *label;
  unsigned long count;
  double amount;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Entry *buckets[BUCKETS];
static Entry *first;
static Entry **end = &first;

static FILE *output;
static int tracing;
static char section[NAME_BYTES];

static long long total_bytes = (long long)DEFAULT_MIB << 20;
static long long used_bytes;
static long long peak_bytes;

static void write_text(const char *text) {
  fputc('"', output);
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', output);
    if ((unsigned char)*text >= ' ') fputc(*text, output);
  }
  fputc('"', output);
}

static void write_event(const char *event, const Entry *entry, double amount) {
  fprintf(output, "{\"event\":\"%s\",\"kind\":", event);
  write_text(entry->kind);
  fputs(",\"label\":", output);
  write_text(entry->label);
  fprintf(output, ",\"amount\":%.17g}\n", amount);
  fflush(output); /* the last line tells what a process died of */
}

static void close_section(void) {
  if (output != NULL) {
    fputs("{\"section\":", output);
    write_text(section);
    fprintf(output, ",\"usedBytes\":%lld,\"peakBytes\":%lld,\"entries\":[", used_bytes, peak_bytes);
    const char *comma = "";
    for (Entry *entry = first; entry != NULL; entry = entry->next) {
      if (entry->count == 0) continue;
      fprintf(output, "%s[", comma);
      write_text(entry->kind);
      fputc(',', output);
      write_text(entry->label);
      fprintf(output, ",%lu,%.17g]", entry->count, entry->amount);
      comma = ",\n";
    }
    fputs("]}\n", output);
    fflush(output);
  }
  for (Entry *entry = first; entry != NULL; entry = entry->next) {
    entry->count = 0;
    entry->amount = 0;
  }
  peak_bytes = used_bytes;
}

/* Called with the lock held, before anything is counted. */
static void follow_section(void) {
  const char *wanted = getenv("EMOQ_STUB_SECTION");
  if (wanted == NULL || strncmp(wanted, section, NAME_BYTES - 1) == 0) return;
  close_section();
  snprintf(section, sizeof section, "%s", wanted);
}

__attribute__((constructor)) static void open_ledger(void) {
  const char *path = getenv("EMOQ_STUB_LOG");
  const char *mebibytes = getenv("EMOQ_STUB_MIB");
  const char *name = getenv("EMOQ_STUB_SECTION");
  if (path != NULL) output = fopen(path, "w");
  if (path != NULL && output == NULL) perror("the CUDA stub cannot write its log");
  tracing = output != NULL && getenv("EMOQ_STUB_TRACE") != NULL;
  if (mebibytes != NULL) total_bytes = strtoll(mebibytes, NULL, 10) << 20;
  snprintf(section, sizeof section, "%s", name != NULL ? name : "start");
}

__attribute__((destructor)) static void close_ledger(void) {
  pthread_mutex_lock(&lock);
  follow_section();
  close_section();
  pthread_mutex_unlock(&lock);
}

Entry *stub_entry(const char *kind, const char *label) {
  uint32_t hash = 2166136261u;
  for (const char *text = kind; *text != '\0'; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  for (const char *text = label; *text != '\0'; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  pthread_mutex_lock(&lock);
  Entry **bucket = &buckets[hash % BUCKETS];
  Entry *entry = *bucket;
  while (entry != NULL && (strcmp(entry->label, label) != 0 || strcmp(entry->kind, kind) != 0)) {
    entry = entry->next_in_bucket;
  }
  if (entry == NULL) {
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) abort();
    entry->kind = strdup(kind);
    entry->label = strdup(label);
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    *end = entry;
    end = &entry->next;
  }
  pthread_mutex_unlock(&lock);
  return entry;
}

void stub_count(Entry *entry, double amount) {
  pthread_mutex_lock(&lock);
  follow_section();
  entry->count++;
  entry->amount += amount;
  if (tracing) write_event("count", entry, amount);
  pthread_mutex_unlock(&lock);
}

int stub_take_memory(long long bytes) {
  static Entry *taken;
  static Entry *returned;
  static Entry *refused;
  if (taken == NULL) {
    refused = stub_entry("memory", "refused");
    returned = stub_entry("memory", "free");
    taken = stub_entry("memory", "allocate");
  }
  pthread_mutex_lock(&lock);
  follow_section();
  int fits = used_bytes + bytes <= total_bytes;
  Entry *entry = !fits ? refused : bytes < 0 ? returned : taken;
  if (fits) used_bytes += bytes;
  if (used_bytes > peak_bytes) peak_bytes = used_bytes;
  entry->count++;
  entry->amount += (double)(bytes < 0 ? -bytes : bytes);
  if (tracing) write_event("memory", entry, (double)bytes);
  pthread_mutex_unlock(&lock);
  return fits;
}

size_t stub_device_bytes(void) {
  return (size_t)total_bytes;
}

size_t stub_free_bytes(void) {
  pthread_mutex_lock(&lock);
  long long bytes = total_bytes - used_bytes;
  pthread_mutex_unlock(&lock);
  return (size_t)bytes;
}

void stub_remark(const char *what, int detail) {
  char label[NAME_BYTES];
  snprintf(label, sizeof label, "%s %d", what, detail);
  stub_count(stub_entry("remark", label), 0);
}
