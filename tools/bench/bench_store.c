/*
 * bench_store.c - the command `varve bench` as a program of its own, for the tests of the build.
 */
#include "tools/bench/store_bench.h"

int main(int argc, char **argv)
{
    return command_bench(argc, argv);
}
