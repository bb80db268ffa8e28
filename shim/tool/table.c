#include "tool/table.h"

#include "tool/text.h"

#include <stdio.h>
#include <string.h>

#define INDENT 2
#define GAP 2

static void fill_row(const struct pqb_table *table, unsigned row, struct pqb_cell *cells)
{
    for (unsigned i = 0; i < table->columns; i++) {
        *cells[i].text = 0;
        cells[i].style = PQB_PLAIN;
    }
    table->fill(table->context, row, cells);
}

/* 0 is the width of a column that is left out. */
static void measure(const struct pqb_table *table, unsigned *width)
{
    struct pqb_cell cells[PQB_TABLE_COLUMNS];
    memset(width, 0, table->columns * sizeof *width);
    for (unsigned row = 0; row < table->rows; row++) {
        fill_row(table, row, cells);
        for (unsigned i = 0; i < table->columns; i++) {
            unsigned wide = pqb_text_width(cells[i].text);
            if (wide > width[i])
                width[i] = wide;
        }
    }
    for (unsigned i = 0; i < table->columns; i++) {
        unsigned wide = pqb_text_width(table->column[i].title);
        if (wide > width[i] && (width[i] || !i || i != table->rare))
            width[i] = wide;
    }
}

/* The widest that can give way gives way, one column at a time. */
static void fit(const struct pqb_table *table, unsigned columns, unsigned *width)
{
    for (;;) {
        unsigned total = INDENT - GAP, widest = table->columns;
        for (unsigned i = 0; i < table->columns; i++) {
            total += width[i] ? GAP + width[i] : 0;
            if (table->column[i].cut_down && width[i] > table->column[i].cut_down &&
                (widest == table->columns || width[i] >= width[widest]))
                widest = i;
        }
        if (total <= columns || widest == table->columns)
            return;
        width[widest]--;
    }
}

static void pad(FILE *out, unsigned count)
{
    fprintf(out, "%*s", (int)count, "");
}

/* One line, no wider than the screen even where it is narrower than the columns can be. */
static void print_row(const struct pqb_table *table, const struct pqb_screen *screen,
                      const struct pqb_cell *cells, const unsigned *width, FILE *out)
{
    unsigned left = screen->columns, lead = INDENT, owed = 0;
    for (unsigned i = 0; i < table->columns && left > lead; i++) {
        if (!width[i])
            continue;
        left -= lead;
        unsigned room = width[i] < left ? width[i] : left, used = pqb_text_width(cells[i].text);
        if (used > room)
            used = room;
        pad(out, lead + owed + (table->column[i].is_number ? room - used : 0));
        fputs(pqb_screen_on(screen, cells[i].style), out);
        used = pqb_text_print(out, cells[i].text, room, screen->ascii_only);
        fputs(pqb_screen_off(screen, cells[i].style), out);
        owed = table->column[i].is_number ? 0 : room - used;
        left -= room;
        lead = GAP;
    }
    fputc('\n', out);
}

void pqb_table_print(const struct pqb_table *table, const struct pqb_screen *screen, FILE *out)
{
    unsigned width[PQB_TABLE_COLUMNS];
    struct pqb_cell cells[PQB_TABLE_COLUMNS] = {0};
    measure(table, width);
    if (screen->columns != PQB_TEXT_ALL)
        fit(table, screen->columns, width);
    for (unsigned i = 0; i < table->columns; i++) {
        snprintf(cells[i].text, sizeof cells[i].text, "%s", table->column[i].title);
        cells[i].style = PQB_DIM;
    }
    print_row(table, screen, cells, width, out);
    for (unsigned row = 0; row < table->rows; row++) {
        fill_row(table, row, cells);
        print_row(table, screen, cells, width, out);
    }
}
