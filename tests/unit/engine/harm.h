/*
 * harm.h - what the tests of harmed stores share: findings and problems collected, files of a simulated
 * disk looked at and damaged.
 */
#ifndef VARVE_TESTS_ENGINE_HARM_H
#define VARVE_TESTS_ENGINE_HARM_H

#include "tests/unit/engine/sim_store.h"

#define HARM_MAX 64

/* What varve_open_findings() or varve_verify() told. */
struct harm {
    int n;
    int n_cut, n_kept, n_missing;
    varve_finding kinds[HARM_MAX];
    varve_error items[HARM_MAX];
};

void harm_findings(struct sim_store *s, struct harm *ret);
/* The status is verify's; OK if and only if there was no problem. */
varve_status harm_verify(struct sim_store *s, struct harm *ret);
bool harm_names(const struct harm *harm, const char *file, uint64_t offset);

bool harm_exists(struct sim_store *s, const char *name);
/* Pages with a byte that is not zero: how many, counted to the last one. */
uint32_t harm_pages(struct sim_store *s, const char *name);
void harm_flip(struct sim_store *s, const char *name, uint64_t page, uint64_t byte);
void harm_zero_sector(struct sim_store *s, const char *name, uint64_t page, uint64_t sector);
/* Pages that the disk does not give back from harm_unread() on: each read of one of them is EIO. */
struct harm_unread {
    int n;
    uint64_t pages[4];
    char names[4][VARVE_FILE_NAME_MAX];
};
void harm_unread(struct sim_store *s, struct harm_unread *unread);
void harm_unread_add(struct harm_unread *unread, const char *name, uint64_t page);
/* All names, sizes and bytes as one number. */
uint64_t harm_disk_hash(struct sim_store *s);

#endif
