/** @file libcublas.so.13: products are counted, nothing is computed. */
#include <library_types.h>
#include <stddef.h>
#include <stdlib.h>

#include "ledger.h"
#include "products.h"

typedef int Status; /* cublasStatus_t: 0 is success */

#define SUMS_FLOAT32 68
#define SUMS_FLOAT64 70

/* A setting of the handle, which onnxruntime changes around single calls of one thread. */
static _Thread_local int math_mode;

API Status cublasCreate_v2(void **handle) {
  *handle = malloc(1);
  return 0;
}

API Status cublasDestroy_v2(void *handle) {
  free(handle);
  return 0;
}

API Status cublasSetStream_v2(void *handle, void *stream) {
  return 0;
}

API Status cublasGetMathMode(void *handle, int *mode) {
  *mode = math_mode;
  return 0;
}

API Status cublasSetMathMode(void *handle, int mode) {
  math_mode = mode;
  return 0;
}

API const char *cublasGetStatusName(Status status) {
  return "status of the CUDA stub";
}

API const char *cublasGetStatusString(Status status) {
  return "status of the CUDA stub";
}

/* Every function begins with the same six parameters, and goes on with addresses and strides. */
#define BEGIN void *handle, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha
#define COUNT(name, repeats, a, b, c, sums) \
  count_product(&(Product){name, transpose_a, transpose_b, m, n, k, repeats, a, b, c, sums, math_mode})

#define TYPED(letter, type, sums)                                                                                     \
  API Status cublas##letter##gemm_v2(BEGIN, const void *a, int lda, const void *b, int ldb, const void *beta,         \
                                     void *c, int ldc) {                                                              \
    COUNT(#letter "gemm", 1, type, type, type, sums);                                                                 \
    return 0;                                                                                                         \
  }                                                                                                                   \
  API Status cublas##letter##gemmBatched(BEGIN, const void *a, int lda, const void *b, int ldb, const void *beta,     \
                                         void *c, int ldc, int batch) {                                               \
    COUNT(#letter "gemmBatched", batch, type, type, type, sums);                                                      \
    return 0;                                                                                                         \
  }                                                                                                                   \
  API Status cublas##letter##gemmStridedBatched(BEGIN, const void *a, int lda, long long stride_a, const void *b,     \
                                                int ldb, long long stride_b, const void *beta, void *c, int ldc,      \
                                                long long stride_c, int batch) {                                      \
    COUNT(#letter "gemmStridedBatched", batch, type, type, type, sums);                                               \
    return 0;                                                                                                         \
  }

TYPED(S, CUDA_R_32F, SUMS_FLOAT32)
TYPED(D, CUDA_R_64F, SUMS_FLOAT64)

API Status cublasGemmEx(BEGIN, const void *a, int a_type, int lda, const void *b, int b_type, int ldb,
                        const void *beta, void *c, int c_type, int ldc, int compute, int algorithm) {
  COUNT("GemmEx", 1, a_type, b_type, c_type, compute);
  return 0;
}

API Status cublasGemmBatchedEx(BEGIN, const void *a, int a_type, int lda, const void *b, int b_type, int ldb,
                               const void *beta, void *c, int c_type, int ldc, int batch, int compute,
                               int algorithm) {
  COUNT("GemmBatchedEx", batch, a_type, b_type, c_type, compute);
  return 0;
}

API Status cublasGemmStridedBatchedEx(BEGIN, const void *a, int a_type, int lda, long long stride_a, const void *b,
                                      int b_type, int ldb, long long stride_b, const void *beta, void *c, int c_type,
                                      int ldc, long long stride_c, int batch, int compute, int algorithm) {
  COUNT("GemmStridedBatchedEx", batch, a_type, b_type, c_type, compute);
  return 0;
}

#define LAUNCH(function)                          \
  API Status function(void) {                     \
    stub_count(stub_entry("launch", #function), 0); \
    return 0;                                     \
  }

LAUNCH(cublasScopy_v2)
LAUNCH(cublasDcopy_v2)
LAUNCH(cublasSscal_v2)
LAUNCH(cublasSgeam)
LAUNCH(cublasDgeam)
LAUNCH(cublasSgetrfBatched)
LAUNCH(cublasDgetrfBatched)
LAUNCH(cublasSgetriBatched)
LAUNCH(cublasDgetriBatched)
