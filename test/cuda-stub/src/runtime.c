/**
 * @file libcudart.so.13: what onnxruntime's provider calls of the CUDA runtime. There is one device; everything happens
 * at once, in the order of the calls, so streams and events are only names. Kernels are counted, not run.
 */
#include "runtime.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Smaller copies and fills are done, because a shape may depend on them; larger ones are data. */
#define DONE_BYTES (64 << 10)
/* A larger result is at least cleared on the host, up to this size. */
#define CLEARED_BYTES (1 << 20)

static void count(const char *kind, const char *label, double amount) {
  stub_count(stub_entry(kind, label), amount);
}

/* ---- memory ---- */

API cudaError_t cudaMalloc(void **start, size_t bytes) {
  *start = memory_allocate(bytes);
  return *start == NULL ? cudaErrorMemoryAllocation : cudaSuccess;
}

API cudaError_t cudaMallocFromPoolAsync(void **start, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  return cudaMalloc(start, bytes);
}

API cudaError_t cudaFree(void *start) {
  if (start != NULL) memory_free(start);
  return cudaSuccess;
}

API cudaError_t cudaFreeAsync(void *start, cudaStream_t stream) {
  return cudaFree(start);
}

API cudaError_t cudaMallocHost(void **start, size_t bytes) {
  *start = malloc(bytes + 1);
  return *start == NULL ? cudaErrorMemoryAllocation : cudaSuccess;
}

API cudaError_t cudaHostAlloc(void **start, size_t bytes, unsigned flags) {
  return cudaMallocHost(start, bytes);
}

API cudaError_t cudaFreeHost(void *start) {
  free(start);
  return cudaSuccess;
}

API cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  *available = stub_free_bytes();
  *total = stub_device_bytes();
  return cudaSuccess;
}

API cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *address) {
  int is_device = memory_is_device(address);
  *attributes = (struct cudaPointerAttributes){
      .type = is_device ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered,
      .devicePointer = is_device ? (void *)address : NULL,
      .hostPointer = is_device ? NULL : (void *)address,
  };
  return cudaSuccess;
}

API cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *properties) {
  return give_handle((void **)pool);
}

API cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
  *(uint64_t *)value = 0;
  return cudaSuccess;
}

OK(cudaMemPoolDestroy(cudaMemPool_t pool))
OK(cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value))
OK(cudaMemPoolTrimTo(cudaMemPool_t pool, size_t bytes))

/* ---- copies and fills ---- */

/* The caller may leave the direction open, so it is told by the addresses. Returns 1 for device to host. */
static int count_copy(void *to, const void *from, size_t bytes) {
  static const char *const directions[] = {"host to host", "host to device", "device to host", "device to device"};
  int direction = 2 * memory_is_device(from) + memory_is_device(to);
  count("copy", directions[direction], (double)bytes);
  return direction == 2;
}

API cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  int is_result = count_copy(to, from, bytes);
  int is_on_host = !memory_is_device(to) && !memory_is_device(from);
  if (bytes <= DONE_BYTES || is_on_host) {
    memmove(to, from, bytes);
  } else if (is_result && bytes <= CLEARED_BYTES) {
    memset(to, 0, bytes);
  }
  return cudaSuccess;
}

API cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                                cudaStream_t stream) {
  return cudaMemcpy(to, from, bytes, kind);
}

API cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                  size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
  count_copy(to, from, width * height);
  if (width * height > DONE_BYTES) return cudaSuccess;
  for (size_t row = 0; row < height; row++) {
    memmove((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
  }
  return cudaSuccess;
}

API cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                     enum cudaMemcpyKind kind) {
  memset(to, 0, bytes);
  return cudaSuccess;
}

API cudaError_t cudaMemset(void *start, int value, size_t bytes) {
  count("fill", "memset", (double)bytes);
  if (bytes <= DONE_BYTES) memset(start, value, bytes);
  return cudaSuccess;
}

API cudaError_t cudaMemsetAsync(void *start, int value, size_t bytes, cudaStream_t stream) {
  return cudaMemset(start, value, bytes);
}

/* ---- the device: what decides which kernels a provider takes, as an H200 answers ---- */

static const struct {
  enum cudaDeviceAttr attribute;
  int value;
} device_values[] = {
    {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0},
    {cudaDevAttrMultiProcessorCount, 132},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrMaxThreadsPerBlock, MAX_THREADS_PER_BLOCK},
    {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrL2CacheSize, 50 << 20},
    {cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, 227 << 10},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 228 << 10},
    {cudaDevAttrMemoryPoolsSupported, 1},
};

API cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  for (size_t i = 0; i < sizeof device_values / sizeof device_values[0]; i++) {
    if (device_values[i].attribute != attribute) continue;
    *value = device_values[i].value;
    return cudaSuccess;
  }
  *value = 0;
  stub_remark("device attribute answered with 0:", (int)attribute);
  return cudaSuccess;
}

static int device_value(enum cudaDeviceAttr attribute) {
  int value;
  cudaDeviceGetAttribute(&value, attribute, 0);
  return value;
}

API cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
  *properties = (struct cudaDeviceProp){
      .name = "stub of an H200",
      .totalGlobalMem = stub_device_bytes(),
      .sharedMemPerBlock = (size_t)device_value(cudaDevAttrMaxSharedMemoryPerBlock),
      .regsPerBlock = 65536,
      .warpSize = device_value(cudaDevAttrWarpSize),
      .memPitch = INT32_MAX,
      .maxThreadsPerBlock = device_value(cudaDevAttrMaxThreadsPerBlock),
      .maxThreadsDim = {1024, 1024, 64},
      .maxGridSize = {INT32_MAX, 65535, 65535},
      .totalConstMem = 64 << 10,
      .major = device_value(cudaDevAttrComputeCapabilityMajor),
      .minor = device_value(cudaDevAttrComputeCapabilityMinor),
      .multiProcessorCount = device_value(cudaDevAttrMultiProcessorCount),
      .concurrentKernels = 1,
      .asyncEngineCount = 3,
      .unifiedAddressing = 1,
      .l2CacheSize = device_value(cudaDevAttrL2CacheSize),
      .maxThreadsPerMultiProcessor = device_value(cudaDevAttrMaxThreadsPerMultiProcessor),
      .sharedMemPerMultiprocessor = (size_t)device_value(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
      .regsPerMultiprocessor = 65536,
      .cooperativeLaunch = 1,
      .sharedMemPerBlockOptin = (size_t)device_value(cudaDevAttrMaxSharedMemoryPerBlockOptin),
      .maxBlocksPerMultiProcessor = 32,
      .memoryPoolsSupported = 1,
      .clusterLaunch = 1,
  };
  return cudaSuccess;
}

static cudaError_t give_int(int *target, int value) {
  *target = value;
  return cudaSuccess;
}

API cudaError_t cudaGetDeviceCount(int *devices) {
  return give_int(devices, 1);
}

API cudaError_t cudaGetDevice(int *device) {
  return give_int(device, 0);
}

API cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

API cudaError_t cudaDriverGetVersion(int *version) {
  return give_int(version, 13000);
}

API cudaError_t cudaRuntimeGetVersion(int *version) {
  return give_int(version, 13000);
}

/* ---- streams, events, graphs ---- */

API cudaError_t cudaDeviceSynchronize(void) {
  count("wait", "device", 0);
  return cudaSuccess;
}

API cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  count("wait", "stream", 0);
  return cudaSuccess;
}

API cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  count("wait", "event", 0);
  return cudaSuccess;
}

API cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return give_handle((void **)stream);
}

API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return give_handle((void **)stream);
}

API cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return give_handle((void **)event);
}

API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  return give_handle((void **)event);
}

API cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  *milliseconds = 1;
  return cudaSuccess;
}

API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

API cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  return give_handle((void **)graph);
}

API cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
  return give_handle((void **)executable);
}

API cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  count("launch", "cudaGraphLaunch", 0);
  return cudaSuccess;
}

API cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void *), void *data) {
  function(data);
  return cudaSuccess;
}

OK(cudaStreamDestroy(cudaStream_t stream))
OK(cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags))
OK(cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode))
OK(cudaEventDestroy(cudaEvent_t event))
OK(cudaEventRecord(cudaEvent_t event, cudaStream_t stream))
OK(cudaGraphDestroy(cudaGraph_t graph))
OK(cudaGraphExecDestroy(cudaGraphExec_t executable))

/* ---- errors ---- */

OK(cudaGetLastError(void))
OK(cudaPeekAtLastError(void))

API const char *cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "error of the CUDA stub";
}

API const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "error of the CUDA stub";
}
