/*
 * float_text_int.h - text of float and double, the same in every locale: correctly rounded in, the
 * shortest digits that read back to the same bits out.
 */
#ifndef VARVE_SCHEMA_FLOAT_TEXT_INT_H
#define VARVE_SCHEMA_FLOAT_TEXT_INT_H

#include <stddef.h>

#define VARVE_FLOAT_TEXT_MAX 32u

/* What is wrong with the text (static), or NULL and the value. */
const char *varve_float_text_parse_f64(const char *text, size_t size, double *ret_value);
const char *varve_float_text_parse_f32(const char *text, size_t size, float *ret_value);

/* At most VARVE_FLOAT_TEXT_MAX characters without a terminator; returns how many. */
size_t varve_float_text_format_f64(double value, char *out);
size_t varve_float_text_format_f32(float value, char *out);

#endif
