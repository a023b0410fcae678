/** @file Matrix products, as cuBLAS and cuBLASLt are asked for them. */
#ifndef EMOQ_STUB_PRODUCTS_H
#define EMOQ_STUB_PRODUCTS_H

/* A product of matrices in column-major order: [m, k] by [k, n], `batch` times. */
typedef struct {
  const char *function;
  int transpose_a; /* cublasOperation_t: 0 as it is, 1 and 2 transposed */
  int transpose_b;
  long m;
  long n;
  long k;
  long batch;
  int a_type; /* cudaDataType */
  int b_type;
  int c_type;
  int compute; /* cublasComputeType_t: the type of the sums */
  int math_mode; /* cublasMath_t */
} Product;

void count_product(const Product *product);

#endif
