/*
 * canary.c - a target with a planted fault. Fuzzing that does not find it finds nothing.
 *
 * Input that begins with "varve" aborts. The bytes are compared one by one, so that coverage leads
 * a fuzzer there in seconds; the corpus holds inputs on both sides, so that replaying finds it too.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fault[] = "varve";

    for (size_t i = 0; i < size; i++) {
        if (data[i] != (uint8_t)fault[i])
            return 0;
        if (i == 4)
            abort();
    }
    return 0;
}
