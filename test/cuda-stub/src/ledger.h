/** @file What the libraries of the stub share: counting what is asked of the device. It lies in libcudart.so.13. */
#ifndef EMOQ_STUB_LEDGER_H
#define EMOQ_STUB_LEDGER_H

#include <stddef.h>

/* Everything is compiled with hidden visibility; only this much is seen from outside. */
#define API __attribute__((visibility("default")))

/* A line of the ledger: how often something happened, and how much of it (bytes, or floating-point operations). */
typedef struct Entry Entry;

/* The line of a kind ("launch", "product", "copy", ...) with a label. Never freed; NULL is not returned. */
API Entry *stub_entry(const char *kind, const char *label);

/* Adds one occurrence of `amount` to a line. */
API void stub_count(Entry *entry, double amount);

/* Device memory in use, as an addition (or, if negative, a return). Returns 0 if the device has less than that free. */
int stub_take_memory(long long bytes);
size_t stub_device_bytes(void);
size_t stub_free_bytes(void);

/* Says once in the log that a call was answered with a guess. */
API void stub_remark(const char *what, int detail);

#endif
