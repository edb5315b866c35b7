/*
 * test_block_damage.c - any bytes give OK or ECORRUPT, and no access outside the block.
 *
 * Method: hand-made blocks that break one clause of block_format.h each, beside the sound block
 * they differ from; then every byte of real blocks changed, and every prefix of them.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

#define I8 VARVE_LANE_I8
#define I64 VARVE_LANE_I64
#define F32 VARVE_LANE_F32
#define F64 VARVE_LANE_F64
#define DEC VARVE_LANE_DEC
#define TXT VARVE_LANE_BYTES

/* One row a clause. `open` and `decode` are what must come out; the first row of a group is sound. */
static const struct {
    uint8_t lane;
    uint8_t n;
    uint8_t size;
    int8_t open, decode;
    uint8_t bytes[24];
} clause[] = {
    /* header: codec, form, n */
    {I8, 2, 6, 0, 0, {1, I8, 2, 0, 7, 8}},
    {I8, 2, 6, -4, 0, {0, I8, 2, 0, 7, 8}},        /* no such codec */
    {I8, 2, 6, -4, 0, {13, I8, 2, 0, 7, 8}},       /* a codec of a later version */
    {I8, 2, 6, -4, 0, {1, 0, 2, 0, 7, 8}},         /* no lane */
    {I8, 2, 6, -4, 0, {1, 2, 2, 0, 7, 8}},         /* another lane */
    {I8, 2, 6, -4, 0, {1, I8 | 0x40, 2, 0, 7, 8}}, /* a divisor of RAW */
    {I8, 2, 6, -4, 0, {1, I8 | 0x80, 2, 0, 7, 8}}, /* reserved bit */
    {I8, 2, 6, -4, 0, {1, I8, 3, 0, 7, 8}},        /* another row count */
    {I8, 2, 6, -4, 0, {1, I8, 2, 1, 7, 8}},        /* another row count */
    {I8, 0, 4, -4, 0, {1, I8, 0, 0}},              /* no rows */
    {I8, 2, 7, -4, 0, {1, I8, 2, 0, 7, 8, 9}},     /* a byte left over */
    {I8, 2, 5, -4, 0, {1, I8, 2, 0, 7}},           /* a byte short */
    {I8, 2, 3, -4, 0, {1, I8, 2}},                 /* half a header */
    /* CONST, CONST_DELTA */
    {I8, 2, 6, 0, 0, {2, I8, 2, 0, 0xff, 0x01}},
    {I8, 2, 6, -4, 0, {2, I8, 2, 0, 0x80, 0x02}}, /* 128 is no int8 */
    {I8, 2, 6, -4, 0, {2, I8, 2, 0, 0x80, 0x00}}, /* a varint that is not canonical */
    {I8, 2, 6, 0, 0, {3, I8, 2, 0, 2, 2}},
    {F32, 2, 6, -4, 0, {3, F32, 2, 0, 2, 2}}, /* a step of floats */
    /* FOR, DFOR: width, base, lane */
    {I8, 2, 7, 0, 0, {4, I8, 2, 0, 4, 0, 0x21}},
    {I8, 2, 22, -4, 0, {4, I8, 2, 0, 65, 0}},              /* width */
    {I8, 2, 8, -4, 0, {4, I8, 2, 0, 4, 0x80, 0x02, 0x21}}, /* base */
    {F32, 2, 7, -4, 0, {4, F32, 2, 0, 4, 0, 0x21}},        /* lane */
    {I8, 2, 9, 0, 0, {5, I8, 2, 0, 4, 0, 0, 0, 0x20}},
    {I8, 2, 24, -4, 0, {5, I8, 2, 0, 65, 0, 0, 0}},      /* width */
    {I8, 2, 9, -4, 0, {5, I8, 2, 0, 4, 65, 0, 0, 0x20}}, /* width of restarts */
    /* HAS_DIVISOR: its codecs, its value, its room */
    {I8, 2, 8, 0, 0, {4, I8 | 0x40, 2, 0, 4, 0, 2, 0x21}},
    {I8, 2, 6, -4, 0, {2, I8 | 0x40, 2, 0, 0, 2}},                 /* of CONST */
    {I8, 2, 7, -4, 0, {3, I8 | 0x40, 2, 0, 2, 2, 2}},              /* of CONST_DELTA */
    {I8, 4, 11, -4, 0, {6, I8 | 0x40, 4, 0, 2, 0, 1, 0, 2, 2, 2}}, /* of RLE */
    {I8, 2, 8, -4, 0, {4, I8 | 0xc0, 2, 0, 4, 0, 2, 0x21}},        /* reserved bit */
    {I8, 2, 8, -4, 0, {4, I8 | 0x40, 2, 0, 4, 0, 0, 0x21}},        /* 0 */
    {I8, 2, 8, -4, 0, {4, I8 | 0x40, 2, 0, 4, 0, 1, 0x21}},        /* 1 */
    {I8, 2, 9, -4, 0, {4, I8 | 0x40, 2, 0, 4, 0, 0x82, 0, 0x21}},  /* not canonical */
    {I8, 2, 6, -4, 0, {4, I8 | 0x40, 2, 0, 4, 0}},                 /* none */
    /* 2^63 - 31 + 2 * 15 */
    {I64,
     2,
     17,
     0,
     0,
     {4, I64 | 0x40, 2, 0, 4, 0xc2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 0x21}},
    /* one more */
    {I64,
     2,
     17,
     -4,
     0,
     {4, I64 | 0x40, 2, 0, 4, 0xc4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 0x21}},
    {I8, 2, 10, 0, 0, {5, I8 | 0x40, 2, 0, 4, 0, 0, 0, 2, 0x20}},
    {I8, 2, 10, -4, 0, {5, I8 | 0x40, 2, 0, 4, 0, 0, 0, 0, 0x20}}, /* 0 */
    {I8, 2, 10, -4, 0, {5, I8 | 0x40, 2, 0, 4, 0, 0, 0, 1, 0x20}}, /* 1 */
    {I64,
     2,
     19,
     0,
     0, /* a step of 2^63 - 31 */
     {5, I64 | 0x40, 2, 0, 4, 0, 0, 0xc2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2,
      0x20}},
    {I64,
     2,
     19,
     -4,
     0, /* one more */
     {5, I64 | 0x40, 2, 0, 4, 0, 0, 0xc4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2,
      0x20}},
    /* RLE of four rows: ends of two bits */
    {I8, 4, 10, 0, 0, {6, I8, 4, 0, 2, 0, 1, 0, 0x02, 0x02}},
    {I8, 4, 9, -4, 0, {6, I8, 4, 0, 0, 0, 1, 0, 0}},              /* no runs */
    {I8, 4, 12, -4, 0, {6, I8, 4, 0, 5, 0, 1, 0, 0xe4, 0x01, 0}}, /* more runs than rows */
    {I8, 4, 10, 0, -4, {6, I8, 4, 0, 2, 0, 1, 0, 0x00, 0x02}},    /* a run that ends at its start */
    {I8, 4, 10, 0, -4, {6, I8, 4, 0, 3, 0, 1, 0, 0x05, 0x02}},    /* an end twice */
    {I8, 4, 10, 0, -4, {6, I8, 4, 0, 3, 0, 1, 0, 0x07, 0x02}},    /* an end before the last */
    {I8, 5, 10, 0, -4, {6, I8, 5, 0, 3, 0, 1, 0, 0x29, 0x02}},    /* an end at n, then a run */
    /* DICT */
    {TXT, 2, 9, 0, 0, {7, 3, 2, 0, 2, 3, 2, 0, 2}},
    {TXT, 2, 9, -4, 0, {7, TXT, 2, 0, 2, 3, 2, 0, 2}},           /* outer lane */
    {TXT, 2, 9, -4, 0, {7, 3, 2, 0, 2, I8, 2, 0, 2}},            /* inner lane */
    {TXT, 2, 9, -4, 0, {7, 3, 2, 0, 2, 3, 3, 0, 2}},             /* inner rows */
    {TXT, 2, 11, -4, 0, {7, 3, 2, 0, 2, 3 | 16, 2, 0, 2, 1, 1}}, /* inner flags */
    {TXT,
     2,
     13,
     -4,
     0,
     {7, 3, 2, 0, 7, 3, 2, 0, 2, 3, 2, 0, 2}}, /* a dictionary of codes of codes */
    /* DECIMAL */
    {DEC, 2, 14, 0, 0, {11, DEC, 2, 0, 2, I64, 2, 0, 2, 2, I8, 2, 0, 4}},
    {DEC, 2, 14, -4, 0, {1, DEC, 2, 0, 2, I64, 2, 0, 2, 2, I8, 2, 0, 4}},   /* codec */
    {DEC, 2, 14, -4, 0, {11, DEC, 2, 0, 2, I8, 2, 0, 2, 2, I8, 2, 0, 4}},   /* mantissas */
    {DEC, 2, 14, -4, 0, {11, DEC, 2, 0, 2, I64, 2, 0, 2, 2, I64, 2, 0, 4}}, /* scales */
    /* ALP: mode, e, f, exceptions, a block of integers, rows, values */
    {F64, 2, 14, 0, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}},
    {F64, 2, 14, 0, 0, {12, F64, 2, 0, 2, 18, 0, 0, 0, 2, I64, 2, 0, 2}},
    {F64, 2, 14, 0, 0, {12, F64, 2, 0, 1, 18, 18, 0, 0, 2, I64, 2, 0, 2}},
    {F32, 2, 14, 0, 0, {12, F32, 2, 0, 1, 14, 12, 0, 0, 2, I64, 2, 0, 2}},
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 0, 1, 0, 0, 0, 2, I64, 2, 0, 2}},          /* mode */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 3, 1, 0, 0, 0, 2, I64, 2, 0, 2}},          /* mode */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 19, 0, 0, 0, 2, I64, 2, 0, 2}},         /* e */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 1, 19, 0, 0, 0, 2, I64, 2, 0, 2}},         /* e */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 1, 3, 4, 0, 0, 2, I64, 2, 0, 2}},          /* f above e */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 3, 1, 0, 0, 2, I64, 2, 0, 2}},          /* f of DIV */
    {I64, 2, 14, -4, 0, {12, I64, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}},          /* lane */
    {VARVE_LANE_B16, 2, 14, -4, 0, {12, 7, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}}, /* lane */
    {DEC, 2, 14, -4, 0, {12, DEC, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}},          /* lane */
    {TXT, 2, 14, -4, 0, {12, TXT, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}},          /* lane */
    {F64, 2, 14, -4, 0, {12, F64 | 0x40, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2}},   /* a divisor */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 2, 3, 2, 0, 2}},            /* inner lane */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 2, I64, 3, 0, 2}},          /* inner rows */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 7, I64, 2, 0, 2}},          /* inner codec */
    {F64, 2, 16, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 2, I64 | 16, 2, 0, 2, 1, 1}}, /* states */
    {F64, 2, 23, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0,   0, 12, F64, 2,
                         0,  2,   1, 0, 0, 0, 2, I64, 2, 0,  2}}, /* nested */
    {F64, 2, 23, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0,   0, 12, I64, 2,
                         0,  2,   1, 0, 0, 0, 2, I64, 2, 0,  2}},            /* nested */
    {F64, 2, 8, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0}},                         /* cut short */
    {F64, 2, 15, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 2, I64, 2, 0, 2, 0}}, /* left over */
    {F64, 2, 17, 0, 0, {12, F64, 2, 0, 2, 1, 0, 0, 0, 4, I64 | 0x40, 2, 0, 4, 0, 2, 0x21}},
    /* the greatest integer */
    {F64, 2, 21, 0, 0, {12, F64, 2,    0,    2,    1,    0,    0,    0,    2, I64,
                        2,  0,   0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7}},
    /* one more */
    {F64, 2, 21, 0, -4, {12, F64, 2,    0,    2,    1,    0,    0,    0,    2, I64,
                         2,  0,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 8}},
    /* the least integer */
    {F64, 2, 21, 0, 0, {12, F64, 2,    0,    2,    1,    0,    0,    0,    2, I64,
                        2,  0,   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7}},
    /* one less */
    {F32, 2, 21, 0, -4, {12, F32, 2,    0,    2,    1,    0,    0,    0,    2, I64,
                         2,  0,   0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 8}},
    /* exceptions */
    {F64, 2, 23, 0, 0, {12, F64, 2, 0, 2, 1, 0, 1, 0, 2, I64, 2, 0, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8}},
    {F64, 2, 22, -4, 0, {12, F64, 2, 0, 2, 1, 0, 1, 0, 2, I64, 2, 0, 2, 1, 1, 2, 3, 4, 5, 6, 7}},
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 1, 0, 2, I64, 2, 0, 2}}, /* none */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 3, 0, 2, I64, 2, 0, 2}}, /* more than rows */
    {F64, 2, 14, -4, 0, {12, F64, 2, 0, 2, 1, 0, 0, 1, 2, I64, 2, 0, 2}}, /* more than rows */
    {F32, 2, 23, 0, 0, {12, F32, 2, 0, 2, 1, 0, 2, 0, 2, I64, 2, 0, 2, 2, 1, 2, 3, 4, 5, 6, 7, 8}},
    {F32, 3, 23, 0, 0, {12, F32, 3, 0, 2, 1, 0, 2, 0, 2, I64, 3, 0, 2, 9, 1, 2, 3, 4, 5, 6, 7, 8}},
    /* a row twice */
    {F32, 3, 23, 0, -4, {12, F32, 3, 0, 2, 1, 0, 2, 0, 2, I64, 3, 0, 2, 5, 1, 2, 3, 4, 5, 6, 7, 8}},
    /* rows that do not ascend */
    {F32, 3, 23, 0, -4, {12, F32, 3, 0, 2, 1, 0, 2, 0, 2, I64, 3, 0, 2, 6, 1, 2, 3, 4, 5, 6, 7, 8}},
    /* row 3 of three */
    {F32, 3, 23, 0, -4, {12, F32, 3,  0, 2, 1, 0, 2, 0, 2, I64, 3,
                         0,  2,   13, 1, 2, 3, 4, 5, 6, 7, 8}},
    /* what the last byte of a bit string has left: packed, run ends, runs, rows, flips */
    {I8, 3, 7, 0, 0, {4, I8, 3, 0, 2, 0, 0x1b}},
    {I8, 3, 7, -4, 0, {4, I8, 3, 0, 2, 0, 0x5b}},
    {I8, 3, 9, 0, 0, {5, I8, 3, 0, 1, 0, 0, 0, 6}},
    {I8, 3, 9, -4, 0, {5, I8, 3, 0, 1, 0, 0, 0, 14}},
    {I8, 3, 10, 0, 0, {6, I8, 3, 0, 2, 0, 1, 0, 1, 2}},
    {I8, 3, 10, -4, 0, {6, I8, 3, 0, 2, 0, 1, 0, 5, 2}},
    {I8, 3, 10, -4, 0, {6, I8, 3, 0, 2, 0, 1, 0, 1, 6}},
    {F32, 2, 23, -4, 0, {12, F32, 2, 0, 2, 1, 0, 2, 0, 2, I64, 2, 0, 2, 6, 1, 2, 3, 4, 5, 6, 7, 8}},
    {I8, 2, 9, 0, 0, {1, I8 | 16, 2, 0, 7, 8, 3, 1, 1}},
    {I8, 2, 9, -4, 0, {1, I8 | 16, 2, 0, 7, 8, 3, 1, 3}},
    /* TEXT of two values: "a", "b" */
    {TXT, 2, 13, 0, 0, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 2, 2, 'a', 'b'}},
    {TXT, 2, 12, -4, 0, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 2, 2, 'a'}},           /* short */
    {TXT, 2, 14, -4, 0, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 2, 2, 'a', 'b', 'c'}}, /* long */
    {TXT, 2, 13, -4, 0, {8, TXT, 2, 0, 2, 3, 2, 2, 0, 2, 2, 'a', 'b'}},      /* lane of ends */
    {TXT, 2, 13, 0, -4, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 2, 4, 'a', 'b'}},      /* an end too far */
    {TXT, 2, 13, 0, -4, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 4, 1, 'a', 'b'}},      /* ends go back */
    {TXT, 2, 13, 0, -4, {8, TXT, 2, 0, 2, 3, 3, 2, 0, 1, 2, 'a', 'b'}},      /* a negative end */
    {TXT, 2, 14, -4, 0, {9, TXT, 2, 0, 2, 2, 3, 3, 2, 0, 2, 2, 'a', 'b'}},   /* stored >= raw */
    {TXT, 2, 13, 0, -4, {9, TXT, 2, 0, 2, 1, 3, 3, 2, 0, 2, 2, 'a'}},        /* not LZ4 ... */
    {TXT,
     2,
     15,
     -4,
     0,
     {8, TXT, 2, 0, 0x81, 0x80, 0x40, 3, 3, 2, 0, 2, 2, 'a', 'b'}}, /* raw size */
    {TXT, 2, 6, 0, 0, {2, TXT, 2, 0, 1, 'a'}},
    {TXT, 2, 7, -4, 0, {2, TXT, 2, 0, 1, 'a', 'b'}}, /* left over */
    {TXT, 2, 6, -4, 0, {1, TXT, 2, 0, 1, 'a'}},      /* RAW text */
    /* state bitmaps */
    {I8, 2, 7, 0, 0, {2, I8 | 16, 2, 0, 2, 1, 1}},
    {I8, 2, 7, -4, 0, {2, I8 | 32, 2, 0, 2, 1, 1}}, /* deleted without live */
    {I8, 2, 7, -4, 0, {2, I8 | 16, 2, 0, 2, 0, 1}}, /* kind */
    {I8, 2, 7, -4, 0, {2, I8 | 16, 2, 0, 2, 4, 1}}, /* kind */
    {I8, 2, 7, -4, 0, {2, I8 | 16, 2, 0, 2, 1, 4}}, /* a bit after the rows */
    {I8, 2, 9, 0, 0, {2, I8 | 48, 2, 0, 2, 1, 1, 1, 2}},
    {I8, 2, 9, -4, 0, {2, I8 | 48, 2, 0, 2, 1, 1, 1, 3}}, /* both live and deleted */
    {I8, 4, 8, 0, 0, {2, I8 | 16, 4, 0, 2, 2, 1, 2}},
    {I8, 4, 8, -4, 0, {2, I8 | 16, 4, 0, 2, 2, 1, 0}},       /* a change at row 0 */
    {I8, 4, 8, -4, 0, {2, I8 | 16, 4, 0, 2, 3, 2, 0x0a}},    /* changes that do not increase */
    {I8, 4, 9, -4, 0, {2, I8 | 16, 4, 0, 2, 3, 4, 0xe4, 0}}, /* as many changes as rows */
};

/* Decode whatever opened, in full and in parts, and use it every way there is. */
static varve_status exercise(struct varve_span in, uint8_t lane, uint32_t n, bool *ret_opened)
{
    struct varve_heap heap;
    struct varve_buffer text;
    struct varve_block block;
    uint64_t values[VARVE_VECTOR_ROWS * 2], selected[VARVE_BLOCK_STATE_WORDS];
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1] = {0};
    struct varve_fold fold = {0};
    varve_status rc = VARVE_OK;

    *ret_opened = false;
    if (varve_block_open(in, lane, n, &block, NULL) < 0)
        return VARVE_ECORRUPT;
    *ret_opened = true;
    varve_heap_init(&heap, NULL, 64u << 20);
    varve_buffer_init(&text, &heap);
    /* From the first row, the second, and one in the middle, away from every restart. */
    const uint32_t starts[] = {0, 1, n * 5 / 8};
    for (uint32_t i = 0; i < 3 && starts[i] < n && rc == VARVE_OK; i++) {
        const uint32_t first = starts[i];
        uint32_t rank = 0;
        varve_block_states(&block, first, n - first, live, deleted);
        if (block.lane == VARVE_LANE_BYTES)
            rc = varve_block_decode_bytes(&block, first, n - first, offsets, &text, NULL);
        else
            rc = varve_block_decode(&block, first, n - first, values, scales, NULL);
        if (rc == VARVE_OK)
            rc = varve_block_fold(&block, first, n - first, 63, &fold, NULL);
        if (rc == VARVE_OK && varve_lane_is_integer(block.lane))
            rc = varve_block_rank(&block, first, n - first, 5, &rank, NULL);
        ck_assert_uint_le(rank, n - first);
        memset(selected, 0xff, sizeof selected);
        if (rc == VARVE_OK && block.lane <= VARVE_LANE_F64)
            rc = varve_block_select(&block, first, n - first, VARVE_LT,
                                    (union varve_scalar){.i64 = 5}, selected, NULL);
    }
    varve_buffer_free(&text);
    return rc;
}

START_TEST(each_clause_is_checked) /* loop test: _i selects the clause */
{
    bool opened;
    uint8_t *copy = malloc(clause[_i].size);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, clause[_i].bytes, clause[_i].size);
    const varve_status rc =
        exercise(varve_span_of(copy, clause[_i].size), clause[_i].lane, clause[_i].n, &opened);
    ck_assert_int_eq(opened, clause[_i].open == 0);
    if (opened)
        ck_assert_int_eq(rc, clause[_i].decode);
    free(copy);
}
END_TEST

static bool allowed(varve_status rc)
{
    return rc == VARVE_OK || rc == VARVE_ECORRUPT;
}

/* Every byte changed in four ways, and every prefix. */
static void damage_all(const struct varve_buffer *block, uint8_t lane, uint32_t n)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x55};
    bool opened, sound = true;
    uint8_t *copy = malloc(block->size);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, block->data, block->size);
    for (size_t at = 0; at < block->size; at++) {
        for (uint32_t f = 0; f < sizeof flips; f++) {
            copy[at] ^= flips[f];
            sound = sound && allowed(exercise(varve_span_of(copy, block->size), lane, n, &opened));
            copy[at] ^= flips[f];
        }
    }
    free(copy);
    ck_assert(sound);
    for (size_t size = 0; size < block->size; size++) {
        copy = malloc(size + (size == 0));
        if (size > 0)
            memcpy(copy, block->data, size);
        sound = sound && exercise(varve_span_of(copy, size), lane, n, &opened) == VARVE_ECORRUPT &&
                !opened;
        free(copy);
    }
    ck_assert(sound);
}

START_TEST(damaged_blocks_stay_within_bounds) /* loop test: _i is the lane */
{
    static const uint32_t rows[] = {2, 17, 130, 300};
    struct varve_heap heap;
    struct varve_buffer out;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&out, &heap);
    for (int shape = 0; shape < SHAPE_COUNT; shape++) {
        for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const enum sample_state states = r == 2   ? STATES_DELETED
                                             : r == 1 ? STATES_GAP
                                                      : STATES_ALL;
            const bool floats = _i == VARVE_LANE_F32 || _i == VARVE_LANE_F64;
            if (shape == SHAPE_EXTREMES || (shape >= SHAPE_PRICES && !floats) ||
                (shape > SHAPE_EXTREMES && shape < SHAPE_PRICES && _i > VARVE_LANE_I64))
                continue;
            if (rows[r] == 300 && shape != SHAPE_NARROW && shape != SHAPE_WALK &&
                shape != SHAPE_LADDER && shape != SHAPE_SCALED)
                continue;
            sample_fill(s, (uint8_t)_i, (enum sample_shape)shape, rows[r], states, 5);
            varve_buffer_clear(&out);
            ck_assert_int_eq(varve_block_encode(&s->in, 0, &out, NULL, NULL), 0);
            damage_all(&out, (uint8_t)_i, rows[r]);
        }
    }
    varve_buffer_free(&out);
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_damage");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_clause_is_checked, 0, sizeof clause / sizeof *clause);
    tcase_add_loop_test(tcase, damaged_blocks_stay_within_bounds, VARVE_LANE_I8,
                        VARVE_LANE_BYTES + 1);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
