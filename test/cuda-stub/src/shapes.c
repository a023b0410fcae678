/**
 * @file Computes the few kernels that shapes depend on. Sizes and positions of a graph can come from small integer
 * tensors on the device; with zeros in them a run would stop at a Reshape or a Slice, or go on with wrong sizes. So
 * Gather, Slice, Concat, Range and sums, differences and products of int64 are computed where they are small. Kernels
 * are known by their mangled names, which hold the types of their parameters (onnxruntime 1.30).
 */
#include <stdint.h>
#include <string.h>

#include "runtime.h"

/* A shape, or one step's row of them, is never larger; what is larger is data. */
#define LARGEST_BYTES (64 << 10)

/* How onnxruntime passes a divisor and a short array to a kernel. */
typedef struct {
  int32_t divisor;
  uint32_t multiplier;
  uint32_t shift;
} Divisor;

typedef struct {
  int32_t length;
  int64_t items[8];
} Integers;

typedef struct {
  int32_t length;
  Divisor items[8];
} Divisors;

typedef struct {
  int32_t length;
  const char *items[32];
} Pointers;

#define ARGUMENT(type, position) (*(type *)arguments[position])

/* The size of the elements, from the letter that stands for their type in a mangled name. */
static size_t element_bytes(const Kernel *kernel, const char *before) {
  const char *found = strstr(kernel->name, before);
  switch (found == NULL ? '\0' : found[strlen(before)]) {
    case 'a':
    case 'b':
    case 'h':
      return 1;
    case 's':
    case 't':
      return 2;
    case 'i':
    case 'j':
    case 'f':
      return 4;
    default:
      return 8;
  }
}

/* An index that the stub has not computed may be anything. */
static int64_t limited(int64_t index, int64_t size) {
  if (index < 0) index += size;
  return index >= 0 && index < size ? index : 0;
}

static void gather(const Kernel *kernel, void **arguments) {
  size_t bytes = element_bytes(kernel, "_GatherKernelI");
  int64_t input_row = ARGUMENT(int64_t, 0);
  int64_t axis_size = ARGUMENT(int64_t, 1);
  int output_row = ARGUMENT(Divisor, 2).divisor;
  int inner = ARGUMENT(Divisor, 3).divisor;
  const char *indices = ARGUMENT(const char *, 4);
  size_t index_bytes = ARGUMENT(size_t, 5);
  const char *input = ARGUMENT(const char *, 6);
  char *output = ARGUMENT(char *, 7);
  int count = ARGUMENT(int, 8);
  if (output_row <= 0 || inner <= 0 || (size_t)count * bytes > LARGEST_BYTES) return;
  for (int to = 0; to < count; to++) {
    int within = to % output_row;
    int64_t index;
    if (index_bytes == 4) {
      index = ((const int32_t *)indices)[within / inner];
    } else {
      index = ((const int64_t *)indices)[within / inner];
    }
    int64_t from = to / output_row * input_row + limited(index, axis_size) * inner + within % inner;
    memcpy(output + to * bytes, input + from * bytes, bytes);
  }
}

static void slice(const Kernel *kernel, void **arguments) {
  const char *dimensions = strstr(kernel->name, "ELi");
  const Integers *starts = arguments[0];
  const Integers *steps = arguments[1];
  const Integers *input_strides = arguments[2];
  const Divisors *output_strides = arguments[3];
  const char *input = ARGUMENT(const char *, 4);
  char *output = ARGUMENT(char *, 5);
  int count = ARGUMENT(int, 6);
  if (dimensions == NULL || strstr(kernel->name, "ILb0E") == NULL) return;
  int rank = dimensions[3] - '0';
  char before[] = "ELi0E";
  before[3] = dimensions[3];
  size_t bytes = element_bytes(kernel, before);
  if ((size_t)count * bytes > LARGEST_BYTES) return;
  for (int to = 0; to < count; to++) {
    int64_t rest = to;
    int64_t from = 0;
    for (int axis = 0; axis < rank - 1; axis++) {
      int stride = output_strides->items[axis].divisor;
      from += (starts->items[axis] + rest / stride * steps->items[axis]) * input_strides->items[axis];
      rest %= stride;
    }
    from += starts->items[rank - 1] + rest * steps->items[rank - 1];
    memcpy(output + to * bytes, input + from * bytes, bytes);
  }
}

/* Inputs of the same length along the axis. */
static void concat(const Kernel *kernel, void **arguments) {
  size_t bytes = element_bytes(kernel, "_ConcatKernelSameConcatDimI");
  int output_row = ARGUMENT(Divisor, 0).divisor;
  int inner = ARGUMENT(Divisor, 1).divisor;
  int length = ARGUMENT(Divisor, 2).divisor;
  char *output = ARGUMENT(char *, 3);
  int is_by_value = strstr(kernel->name, "TArray") != NULL;
  const char *const *inputs = is_by_value ? ((const Pointers *)arguments[4])->items : ARGUMENT(const char **, 4);
  int count = ARGUMENT(int, 5);
  if (output_row <= 0 || inner <= 0 || length <= 0 || (size_t)count * bytes > LARGEST_BYTES) return;
  for (int to = 0; to < count; to++) {
    int position = to % output_row / inner;
    int64_t from = ((int64_t)(to / output_row) * length + position % length) * inner + to % inner;
    memcpy(output + to * bytes, inputs[position / length] + from * bytes, bytes);
  }
}

static void range(const Kernel *kernel, void **arguments) {
  (void)kernel;
  int64_t start = ARGUMENT(int64_t, 0);
  int64_t step = ARGUMENT(int64_t, 1);
  int64_t count = ARGUMENT(int64_t, 2);
  int64_t *output = ARGUMENT(int64_t *, 3);
  if (count * (int64_t)sizeof *output > LARGEST_BYTES) return;
  for (int64_t to = 0; to < count; to++) output[to] = start + to * step;
}

/* int64 with int64, element by element or one for all: the name says which side advances. */
static void arithmetic(const Kernel *kernel, void **arguments) {
  const int64_t *left = ARGUMENT(const int64_t *, 0);
  const int64_t *right = ARGUMENT(const int64_t *, 1);
  int64_t *output = ARGUMENT(int64_t *, 2);
  int64_t count = strstr(kernel->name, "ELi4EmE") != NULL ? ARGUMENT(int64_t, 4) : ARGUMENT(int, 4);
  int left_step = strstr(kernel->name, "SimpleILb1E") != NULL;
  int right_step = strstr(kernel->name, "ELb1ElllNS0_") != NULL;
  char operation = strstr(kernel->name, "OP_")[3];
  if (count * (int64_t)sizeof *output > LARGEST_BYTES) return;
  for (int64_t to = 0; to < count; to++) {
    int64_t a = left[to * left_step];
    int64_t b = right[to * right_step];
    output[to] = operation == 'A' ? a + b : operation == 'S' ? a - b : a * b;
  }
}

void shape_kernel(Kernel *kernel) {
  const char *name = kernel->name;
  if (strstr(name, "13_GatherKernelI") != NULL) kernel->compute = gather;
  if (strstr(name, "12_SliceKernelI") != NULL) kernel->compute = slice;
  if (strstr(name, "_ConcatKernelSameConcatDimI") != NULL) kernel->compute = concat;
  if (strstr(name, "11RangeKernelIlE") != NULL) kernel->compute = range;
  int is_simple = strstr(name, "24_BinaryElementWiseSimpleI") != NULL;
  if (is_simple && strstr(name, "ElllNS0_6OP_AddI") != NULL) kernel->compute = arithmetic;
  if (is_simple && strstr(name, "ElllNS0_6OP_SubI") != NULL) kernel->compute = arithmetic;
  if (is_simple && strstr(name, "ElllNS0_6OP_MulI") != NULL) kernel->compute = arithmetic;
}
