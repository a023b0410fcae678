/** @file libcublasLt.so.13: the products of blas.c, described by objects. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "products.h"

typedef int Status; /* cublasStatus_t: 0 is success */

/* One kind of object serves as operation, as matrix and as everything that only has to exist. */
typedef struct {
  int type; /* cudaDataType of a matrix, cublasComputeType_t of an operation */
  long rows;
  long columns;
  int batch;
  int transpose_a;
  int transpose_b;
} Object;

/* Values of cublasLtMatmulDescAttributes_t and cublasLtMatrixLayoutAttribute_t. */
enum { TRANSPOSE_A = 3, TRANSPOSE_B = 4, BATCH_COUNT = 5 };

/* Size of a cublasLtMatmulHeuristicResult_t: algorithm, workspace size and status; zeros mean success. */
#define HEURISTIC_BYTES 96

static Status create(Object **object, Object value) {
  *object = malloc(sizeof value);
  if (*object == NULL) return 3; /* CUBLAS_STATUS_ALLOC_FAILED */
  **object = value;
  return 0;
}

#define DESTROY(function)              \
  API Status function(Object *object) { \
    free(object);                      \
    return 0;                          \
  }

#define SUCCEED(function)     \
  API Status function(void) { \
    return 0;                 \
  }

API Status cublasLtCreate(Object **handle) {
  return create(handle, (Object){0});
}

API Status cublasLtMatmulDescCreate(Object **operation, int compute, int scale_type) {
  return create(operation, (Object){.type = compute});
}

API Status cublasLtMatmulDescSetAttribute(Object *operation, int attribute, const void *value, size_t bytes) {
  if (bytes != sizeof(int)) return 0;
  if (attribute == TRANSPOSE_A) memcpy(&operation->transpose_a, value, bytes);
  if (attribute == TRANSPOSE_B) memcpy(&operation->transpose_b, value, bytes);
  return 0;
}

API Status cublasLtMatrixLayoutCreate(Object **matrix, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  return create(matrix, (Object){.type = type, .rows = (long)rows, .columns = (long)columns, .batch = 1});
}

API Status cublasLtMatrixLayoutSetAttribute(Object *matrix, int attribute, const void *value, size_t bytes) {
  if (attribute == BATCH_COUNT && bytes == sizeof(int)) memcpy(&matrix->batch, value, bytes);
  return 0;
}

API Status cublasLtMatmulPreferenceCreate(Object **preference) {
  return create(preference, (Object){0});
}

API Status cublasLtMatrixTransformDescCreate(Object **transform, int scale_type) {
  return create(transform, (Object){0});
}

API Status cublasLtMatmulAlgoGetHeuristic(void *handle, Object *operation, Object *a, Object *b, Object *c, Object *d,
                                          void *preference, int wanted, void *results, int *found) {
  memset(results, 0, HEURISTIC_BYTES);
  *found = 1;
  return 0;
}

API Status cublasLtMatmul(void *handle, Object *operation, const void *alpha, const void *a, Object *a_matrix,
                          const void *b, Object *b_matrix, const void *beta, const void *c, Object *c_matrix, void *d,
                          Object *d_matrix, const void *algorithm, void *workspace, size_t workspace_bytes,
                          void *stream) {
  count_product(&(Product){
      .function = "LtMatmul",
      .transpose_a = operation->transpose_a,
      .transpose_b = operation->transpose_b,
      .m = d_matrix->rows,
      .n = d_matrix->columns,
      .k = operation->transpose_a ? a_matrix->rows : a_matrix->columns,
      .batch = d_matrix->batch,
      .a_type = a_matrix->type,
      .b_type = b_matrix->type,
      .c_type = d_matrix->type,
      .compute = operation->type,
  });
  return 0;
}

API Status cublasLtMatrixTransform(void) {
  stub_count(stub_entry("launch", "cublasLtMatrixTransform"), 0);
  return 0;
}

DESTROY(cublasLtDestroy)
DESTROY(cublasLtMatmulDescDestroy)
DESTROY(cublasLtMatrixLayoutDestroy)
DESTROY(cublasLtMatmulPreferenceDestroy)
DESTROY(cublasLtMatrixTransformDescDestroy)
SUCCEED(cublasLtMatmulPreferenceSetAttribute)
SUCCEED(cublasLtMatmulAlgoInit)
SUCCEED(cublasLtMatmulAlgoConfigSetAttribute)
