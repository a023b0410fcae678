/** @file What the parts of libcudart.so.13 share: handles, and kernels as the provider registers them. */
#ifndef EMOQ_STUB_RUNTIME_H
#define EMOQ_STUB_RUNTIME_H

#include <driver_types.h>
#include <stdlib.h>

#include "ledger.h"

#define MAX_THREADS_PER_BLOCK 1024

/* A call that has nothing to do. */
#define OK(declaration)     \
  API cudaError_t declaration { \
    return cudaSuccess;     \
  }

/* Handles that are never looked into. */
static inline cudaError_t give_handle(void **handle) {
  *handle = malloc(1);
  return *handle == NULL ? cudaErrorMemoryAllocation : cudaSuccess;
}

typedef struct Kernel {
  struct Kernel *next;
  const void *handle;
  const char *name;
  Entry *launches; /* NULL before the first launch */
  void (*compute)(const struct Kernel *kernel, void **arguments); /* NULL: not computed */
} Kernel;

/* Finds what computes a kernel of integer tensors, from its mangled name. */
void shape_kernel(Kernel *kernel);

#endif
