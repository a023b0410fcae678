/** @file Counts matrix products, with their floating-point operations, under a line of their shape and types. */
#include "products.h"

#include <library_types.h>
#include <stdio.h>

#include "ledger.h"

static const char *type_name(int type) {
  switch (type) {
    case CUDA_R_32F:
      return "float32";
    case CUDA_R_16F:
      return "float16";
    case CUDA_R_16BF:
      return "bfloat16";
    case CUDA_R_64F:
      return "float64";
    case CUDA_R_8I:
      return "int8";
    case CUDA_R_32I:
      return "int32";
    case CUDA_R_8F_E4M3:
    case CUDA_R_8F_E5M2:
      return "float8";
    default:
      return "unknown";
  }
}

/* Codes of cublasComputeType_t, which is declared in cuBLAS's own headers. */
static const char *sum_name(int compute) {
  switch (compute) {
    case 64:
    case 65:
      return "float16";
    case 68:
    case 69:
      return "float32";
    case 70:
    case 71:
      return "float64";
    case 72:
    case 73:
      return "int32";
    case 74:
      return "float32 by float16";
    case 75:
      return "float32 by bfloat16";
    case 77:
      return "float32 by tf32";
    default:
      return "unknown";
  }
}

/*
 * onnxruntime asks for the product of its row-major matrices from the right: what cuBLAS calls n, m and k are the rows,
 * columns and inner size of onnxruntime's result, and b is its first factor. So the line says "rows x columns x inner".
 */
void count_product(const Product *product) {
  char label[256];
  int may_use_tf32 = product->math_mode == 3 && product->a_type == CUDA_R_32F;
  snprintf(label, sizeof label, "%ldx%ldx%ld batch %ld %s%s*%s%s->%s sums %s%s %s", product->n, product->m, product->k,
           product->batch, type_name(product->b_type), product->transpose_b ? "'" : "", type_name(product->a_type),
           product->transpose_a ? "'" : "", type_name(product->c_type), sum_name(product->compute),
           may_use_tf32 ? " by tf32" : "", product->function);
  double operations = 2.0 * (double)product->m * (double)product->n * (double)product->k * (double)product->batch;
  stub_count(stub_entry("product", label), operations);
}
