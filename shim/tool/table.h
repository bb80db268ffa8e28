/* Rows in columns that are as wide as what is in them, and together no wider than the screen. */
#ifndef PQB_TOOL_TABLE_H
#define PQB_TOOL_TABLE_H

#include "tool/screen.h"

#define PQB_TABLE_COLUMNS 12

struct pqb_column {
    const char *title;
    int is_number;     /* to the right, never cut */
    unsigned cut_down; /* may be cut to this width where room is short; 0 = never */
};

struct pqb_cell {
    char text[128]; /* any bytes */
    enum pqb_style style;
};

struct pqb_table {
    unsigned columns, rows;
    const struct pqb_column *column;
    unsigned rare; /* this one is left out where no row has anything in it; 0 = none is */
    /* Fills the cells of a row. Is asked twice for each, and must say the same. */
    void (*fill)(const void *context, unsigned row, struct pqb_cell *cells);
    const void *context;
};

void pqb_table_print(const struct pqb_table *table, const struct pqb_screen *screen, FILE *out);

#endif
