/**
 * @file The part of libcudart.so.13 about kernels: the provider registers them when it is loaded and launches them by
 * their handle. They are counted by name, not run.
 */
#include "runtime.h"

#include <stdint.h>

/* The provider registers some 30,000 kernels when it is loaded, on one thread; only those launched get an entry. */
#define KERNEL_BUCKETS 65536
static Kernel *kernels[KERNEL_BUCKETS];

static Kernel **kernel_bucket(const void *handle) {
  return &kernels[((uintptr_t)handle >> 4) % KERNEL_BUCKETS];
}

static void launch(const void *handle, void **arguments) {
  Kernel *kernel = *kernel_bucket(handle);
  while (kernel != NULL && kernel->handle != handle) kernel = kernel->next;
  if (kernel == NULL) {
    stub_count(stub_entry("launch", "code loaded at run time"), 0);
    return;
  }
  if (kernel->launches == NULL) {
    shape_kernel(kernel);
    kernel->launches = stub_entry("launch", kernel->name);
  }
  stub_count(kernel->launches, 0);
  if (kernel->compute != NULL && arguments != NULL) kernel->compute(kernel, arguments);
}

API cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                                 cudaStream_t stream) {
  launch(function, arguments);
  return cudaSuccess;
}

API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                                   cudaStream_t stream) {
  launch(kernel, arguments);
  return cudaSuccess;
}

API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *configuration, const void *function, void **arguments) {
  launch(function, NULL);
  return cudaSuccess;
}

API cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                                            size_t shared_bytes, cudaStream_t stream) {
  launch(function, NULL);
  return cudaSuccess;
}

API cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
  *kernel = (cudaKernel_t)function;
  return cudaSuccess;
}

API cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
  *attributes = (struct cudaFuncAttributes){
      .maxThreadsPerBlock = MAX_THREADS_PER_BLOCK,
      .numRegs = 32,
      .ptxVersion = 90,
      .binaryVersion = 90,
  };
  return cudaSuccess;
}

API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function,
                                                                       int block_size, size_t shared_bytes,
                                                                       unsigned flags) {
  *blocks = 2;
  return cudaSuccess;
}

OK(cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value))
OK(cudaKernelSetAttributeForDevice(cudaKernel_t kernel, enum cudaFuncAttribute attribute, int value, int device))

/* <<< >>> pushes the grid here, and the kernel's own host function takes it away again. */
static _Thread_local struct {
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  void *stream;
} call;

API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, void *stream) {
  call.grid = grid;
  call.block = block;
  call.shared_bytes = shared_bytes;
  call.stream = stream;
  return 0;
}

API cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_bytes, void *stream) {
  *grid = call.grid;
  *block = call.block;
  *shared_bytes = call.shared_bytes;
  *(void **)stream = call.stream;
  return cudaSuccess;
}

/* ---- what runs when the provider is loaded ---- */

API void __cudaRegisterFunction(void **binary, const char *host_function, char *device_function, const char *name,
                                int thread_limit, void *thread, void *block, void *block_size, void *grid_size,
                                int *warp_size) {
  Kernel *kernel = calloc(1, sizeof *kernel);
  if (kernel == NULL) abort();
  Kernel **bucket = kernel_bucket(host_function);
  kernel->handle = host_function;
  kernel->name = name;
  kernel->next = *bucket;
  *bucket = kernel;
}

API void **__cudaRegisterFatBinary(void *binary) {
  return malloc(1);
}

API void __cudaRegisterFatBinaryEnd(void **binary) {
}

API void __cudaUnregisterFatBinary(void **binary) {
  free(binary);
}

API void __cudaRegisterVar(void **binary, char *host_variable, char *device_address, const char *name, int external,
                           size_t bytes, int constant, int global) {
}

/* ---- code that is loaded at run time ---- */

API cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code, void *compiler_options,
                                    void **compiler_values, unsigned compiler_count, void *library_options,
                                    void **library_values, unsigned library_count) {
  return give_handle((void **)library);
}

API cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name) {
  return give_handle((void **)kernel);
}

OK(cudaLibraryUnload(cudaLibrary_t library))

/* There is no driver below. */
API cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                                 unsigned long long flags,
                                                 enum cudaDriverEntryPointQueryResult *status) {
  *function = NULL;
  if (status != NULL) *status = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
