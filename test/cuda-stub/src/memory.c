/**
 * @file Device memory: one range of reserved addresses, handed out from its beginning and never again. An address is
 * the device's if it lies in the range. Pages take memory only once they are touched, which the stub does only for
 * tensors small enough to be shapes.
 */
#define _GNU_SOURCE
#include "memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ledger.h"

#define RANGE_BYTES ((size_t)8 << 40)
#define ALIGNMENT ((size_t)4096)

typedef struct Block {
  struct Block *next;
  char *start;
  size_t bytes;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *range;
static size_t given;
static Block *blocks;

void *memory_allocate(size_t bytes) {
  if (!stub_take_memory((long long)bytes)) return NULL;
  Block *block = malloc(sizeof *block);
  if (block == NULL) abort();
  pthread_mutex_lock(&lock);
  if (range == NULL) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    range = mmap(NULL, RANGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (range == MAP_FAILED) {
      perror("the CUDA stub cannot reserve addresses for its device");
      abort();
    }
  }
  size_t rounded = bytes == 0 ? ALIGNMENT : (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (given + rounded > RANGE_BYTES) {
    fputs("the CUDA stub has given out all its addresses\n", stderr);
    abort();
  }
  *block = (Block){.next = blocks, .start = range + given, .bytes = bytes};
  blocks = block;
  given += rounded;
  pthread_mutex_unlock(&lock);
  return block->start;
}

void memory_free(void *start) {
  pthread_mutex_lock(&lock);
  Block **link = &blocks;
  while (*link != NULL && (*link)->start != start) link = &(*link)->next;
  Block *block = *link;
  if (block != NULL) *link = block->next;
  pthread_mutex_unlock(&lock);
  if (block == NULL) return;
  if (block->bytes > 0) madvise(block->start, block->bytes, MADV_DONTNEED);
  stub_take_memory(-(long long)block->bytes);
  free(block);
}

int memory_is_device(const void *address) {
  const char *byte = address;
  return range != NULL && byte >= range && byte < range + RANGE_BYTES;
}
