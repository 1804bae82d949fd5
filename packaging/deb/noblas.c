// SPDX-License-Identifier: GPL-2.0-or-later
// The functions of BLAS and LAPACK that numpy is linked with, under the names of its wheels.
// xdpctl multiplies no matrices of floats, so those of BLAS are plain loops, and OpenBLAS is not
// shipped. The solvers of LAPACK (numpy.linalg) are not here: a call ends the process and names the
// function.
#include <complex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112, UPPER = 121 };

static void unavailable(const char *name)
{
	fprintf(stderr, "xdpctl: this numpy has no linear algebra: %s was called\n", name);
	abort();
}

// The index of the element (row, column) of a matrix that may be transposed.
static int64_t at(int order, int transposed, int64_t row, int64_t column, int64_t stride)
{
	if (transposed != NO_TRANSPOSE && transposed != TRANSPOSE)
		unavailable("a conjugate transpose");
	return (order == ROW_MAJOR) == (transposed == NO_TRANSPOSE) ? row * stride + column :
								       column * stride + row;
}

// A vector with a negative step begins at its end.
static int64_t first(int64_t count, int64_t step)
{
	return step < 0 ? (1 - count) * step : 0;
}

#define NAME(letter, function) scipy_cblas_##letter##function##64_

// GIVEN is how a scalar is passed, and VALUE(x) what was passed: complex ones come by address.
#define BLAS(letter, T, GIVEN, VALUE)                                                              \
	static T letter##_sum(int64_t n, const T *x, int64_t step_x, const T *y, int64_t step_y)   \
	{                                                                                          \
		T sum = 0;                                                                         \
		x += first(n, step_x);                                                             \
		y += first(n, step_y);                                                             \
		for (int64_t i = 0; i < n; i++)                                                    \
			sum += x[i * step_x] * y[i * step_y];                                      \
		return sum;                                                                        \
	}                                                                                          \
	void NAME(letter, axpy)(int64_t n, GIVEN alpha, const T *x, int64_t step_x, T *y,          \
				int64_t step_y)                                                    \
	{                                                                                          \
		x += first(n, step_x);                                                             \
		y += first(n, step_y);                                                             \
		for (int64_t i = 0; i < n; i++)                                                    \
			y[i * step_y] += VALUE(alpha) * x[i * step_x];                             \
	}                                                                                          \
	void NAME(letter, gemm)(int order, int trans_a, int trans_b, int64_t m, int64_t n,         \
				int64_t k, GIVEN alpha, const T *a, int64_t lda, const T *b,       \
				int64_t ldb, GIVEN beta, T *c, int64_t ldc)                        \
	{                                                                                          \
		for (int64_t i = 0; i < m; i++)                                                    \
			for (int64_t j = 0; j < n; j++) {                                          \
				T sum = 0, *to = c + at(order, NO_TRANSPOSE, i, j, ldc);           \
				for (int64_t l = 0; l < k; l++)                                    \
					sum += a[at(order, trans_a, i, l, lda)] *                  \
					       b[at(order, trans_b, l, j, ldb)];                   \
				*to = VALUE(alpha) * sum +                                         \
				      (VALUE(beta) == 0 ? 0 : VALUE(beta) * *to);                  \
			}                                                                          \
	}                                                                                          \
	void NAME(letter, gemv)(int order, int trans, int64_t m, int64_t n, GIVEN alpha,           \
				const T *a, int64_t lda, const T *x, int64_t step_x, GIVEN beta,   \
				T *y, int64_t step_y)                                              \
	{                                                                                          \
		int64_t rows = trans == NO_TRANSPOSE ? m : n;                                      \
		int64_t columns = trans == NO_TRANSPOSE ? n : m;                                   \
		x += first(columns, step_x);                                                       \
		y += first(rows, step_y);                                                          \
		for (int64_t i = 0; i < rows; i++) {                                               \
			T sum = 0, *to = y + i * step_y;                                           \
			for (int64_t j = 0; j < columns; j++)                                      \
				sum += a[at(order, trans, i, j, lda)] * x[j * step_x];             \
			*to = VALUE(alpha) * sum + (VALUE(beta) == 0 ? 0 : VALUE(beta) * *to);     \
		}                                                                                  \
	}                                                                                          \
	void NAME(letter, syrk)(int order, int half, int trans, int64_t n, int64_t k, GIVEN alpha, \
				const T *a, int64_t lda, GIVEN beta, T *c, int64_t ldc)            \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++)                                                    \
			for (int64_t j = half == UPPER ? i : 0; j < (half == UPPER ? n : i + 1);   \
			     j++) {                                                                \
				T sum = 0, *to = c + at(order, NO_TRANSPOSE, i, j, ldc);           \
				for (int64_t l = 0; l < k; l++)                                    \
					sum += a[at(order, trans, i, l, lda)] *                    \
					       a[at(order, trans, j, l, lda)];                     \
				*to = VALUE(alpha) * sum +                                         \
				      (VALUE(beta) == 0 ? 0 : VALUE(beta) * *to);                  \
			}                                                                          \
	}

#define ITSELF(x) (x)
#define THERE(x) (*(x))
BLAS(s, float, float, ITSELF)
BLAS(d, double, double, ITSELF)
BLAS(c, float complex, const float complex *, THERE)
BLAS(z, double complex, const double complex *, THERE)

#define DOT(letter, T)                                                                             \
	T NAME(letter, dot)(int64_t n, const T *x, int64_t step_x, const T *y, int64_t step_y)     \
	{                                                                                          \
		return letter##_sum(n, x, step_x, y, step_y);                                      \
	}
DOT(s, float)
DOT(d, double)

#define COMPLEX_DOT(letter, T, CONJUGATE)                                                          \
	void NAME(letter, dotu_sub)(int64_t n, const T *x, int64_t step_x, const T *y,             \
				    int64_t step_y, T *sum)                                        \
	{                                                                                          \
		*sum = letter##_sum(n, x, step_x, y, step_y);                                      \
	}                                                                                          \
	void NAME(letter, dotc_sub)(int64_t n, const T *x, int64_t step_x, const T *y,             \
				    int64_t step_y, T *sum)                                        \
	{                                                                                          \
		*sum = 0;                                                                          \
		x += first(n, step_x);                                                             \
		y += first(n, step_y);                                                             \
		for (int64_t i = 0; i < n; i++)                                                    \
			*sum += CONJUGATE(x[i * step_x]) * y[i * step_y];                          \
	}
COMPLEX_DOT(c, float complex, conjf)
COMPLEX_DOT(z, double complex, conj)

#define MISSING(function)                                                                          \
	void scipy_##function##_64_(void)                                                          \
	{                                                                                          \
		unavailable(#function);                                                            \
	}
#define MISSING_ALL(letter)                                                                       \
	MISSING(letter##copy) MISSING(letter##geev) MISSING(letter##gelsd) MISSING(letter##gesdd)  \
	MISSING(letter##gesv) MISSING(letter##getrf) MISSING(letter##potrf)
MISSING_ALL(s)
MISSING_ALL(d)
MISSING_ALL(c)
MISSING_ALL(z)
MISSING(ssyevd)
MISSING(dsyevd)
MISSING(cheevd)
MISSING(zheevd)
MISSING(dgeqrf)
MISSING(dorgqr)
MISSING(zgeqrf)
MISSING(zungqr)
