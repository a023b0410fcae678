/**
 * @file libcudnn.so.9, which onnxruntime loads when it first needs it. What would compute is counted as one launch
 * under the function's name. Descriptors are handles without content.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "ledger.h"

typedef int Status; /* cudnnStatus_t: 0 is success */

#define LAUNCH(name)                                   \
  API Status cudnn##name(void) {                       \
    stub_count(stub_entry("launch", "cudnn" #name), 0); \
    return 0;                                          \
  }

#define SUCCEED(name)            \
  API Status cudnn##name(void) { \
    return 0;                    \
  }

#define HANDLE(name)                              \
  API Status cudnnCreate##name(void **handle) {   \
    *handle = malloc(1);                          \
    return 0;                                     \
  }                                               \
  API Status cudnnDestroy##name(void *handle) {   \
    free(handle);                                 \
    return 0;                                     \
  }

HANDLE()
HANDLE(ActivationDescriptor)
HANDLE(ConvolutionDescriptor)
HANDLE(DropoutDescriptor)
HANDLE(FilterDescriptor)
HANDLE(LRNDescriptor)
HANDLE(PoolingDescriptor)
HANDLE(RNNDataDescriptor)
HANDLE(RNNDescriptor)
HANDLE(ReduceTensorDescriptor)
HANDLE(TensorDescriptor)

LAUNCH(ActivationForward)
LAUNCH(AddTensor)
LAUNCH(BackendExecute)
LAUNCH(BatchNormalizationForwardInference)
LAUNCH(BatchNormalizationForwardTraining)
LAUNCH(ConvolutionBiasActivationForward)
LAUNCH(ConvolutionForward)
LAUNCH(LRNCrossChannelForward)
LAUNCH(PoolingForward)
LAUNCH(RNNForward)
LAUNCH(ReduceTensor)
LAUNCH(SoftmaxForward)

SUCCEED(BackendFinalize)
SUCCEED(BackendSetAttribute)
SUCCEED(DeriveBNTensorDescriptor)
SUCCEED(DropoutGetStatesSize)
SUCCEED(FindConvolutionForwardAlgorithmEx)
SUCCEED(GetConvolutionForwardAlgorithm_v7)
SUCCEED(GetConvolutionForwardWorkspaceSize)
SUCCEED(GetRNNTempSpaceSizes)
SUCCEED(GetRNNWeightParams)
SUCCEED(GetTensorNdDescriptor)
SUCCEED(SetActivationDescriptor)
SUCCEED(SetConvolutionGroupCount)
SUCCEED(SetConvolutionMathType)
SUCCEED(SetConvolutionNdDescriptor)
SUCCEED(SetDropoutDescriptor)
SUCCEED(SetFilterNdDescriptor)
SUCCEED(SetLRNDescriptor)
SUCCEED(SetPoolingNdDescriptor)
SUCCEED(SetRNNDataDescriptor)
SUCCEED(SetRNNDescriptor_v8)
SUCCEED(SetReduceTensorDescriptor)
SUCCEED(SetStream)
SUCCEED(SetTensorNdDescriptor)

API size_t cudnnGetVersion(void) {
  return 91300;
}

API const char *cudnnGetErrorString(Status status) {
  return "status of the CUDA stub";
}

API void cudnnGetLastErrorString(char *message, size_t bytes) {
  if (bytes > 0) message[0] = '\0';
}

API Status cudnnGetStream(void *handle, void **stream) {
  *stream = NULL;
  return 0;
}

/* Any size does: nothing is written there. */
static Status give_workspace(size_t *bytes) {
  *bytes = 1024;
  return 0;
}

API Status cudnnGetReductionIndicesSize(void *handle, void *reduction, void *input, void *output, size_t *bytes) {
  return give_workspace(bytes);
}

API Status cudnnGetReductionWorkspaceSize(void *handle, void *reduction, void *input, void *output, size_t *bytes) {
  return give_workspace(bytes);
}

/* ---- the interface of graphs, which convolutions use ---- */

API Status cudnnBackendCreateDescriptor(int kind, void **descriptor) {
  *descriptor = malloc(1);
  return *descriptor == NULL ? 1002 : 0; /* CUDNN_STATUS_HOST_ALLOCATION_FAILED */
}

API Status cudnnBackendDestroyDescriptor(void *descriptor) {
  free(descriptor);
  return 0;
}

/* Values of cudnnBackendAttributeType_t and cudnnBackendAttributeName_t. */
enum { TYPE_INT64 = 3, TYPE_INT32 = 23, TYPE_DESCRIPTOR = 15, HEURISTIC_RESULTS = 202, ENGINE = 300, ENGINE_CONFIG = 401 };

/*
 * One engine suits every graph, it has no knobs and no notes, and numbers (its index, its workspace, its shared memory) are 0. A caller
 * asks first without an array, for the count.
 */
API Status cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t wanted, int64_t *found, void *values) {
  int is_object = name == HEURISTIC_RESULTS || name == ENGINE || name == ENGINE_CONFIG;
  int64_t count = type == TYPE_INT64 || type == TYPE_INT32 || (type == TYPE_DESCRIPTOR && is_object);
  if (found != NULL) *found = count;
  if (type == TYPE_INT64 && values != NULL && wanted > 0) *(int64_t *)values = 0;
  if (type == TYPE_INT32 && values != NULL && wanted > 0) *(int32_t *)values = 0;
  return 0;
}
