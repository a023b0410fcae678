/** @file Device memory of the stub. */
#ifndef EMOQ_STUB_MEMORY_H
#define EMOQ_STUB_MEMORY_H

#include <stddef.h>

/* NULL when the device is full. */
void *memory_allocate(size_t bytes);
void memory_free(void *start);

/* True for an address that memory_allocate has given out. */
int memory_is_device(const void *address);

#endif
