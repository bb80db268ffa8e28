/* Text of unknown origin, made fit for people: the ledger's names were written by other processes,
 * and may hold anything. What is printed never moves a cursor or ends a line. */
#ifndef PQB_TOOL_TEXT_H
#define PQB_TOOL_TEXT_H

#include <stdint.h>
#include <stdio.h>

#define PQB_TEXT_ALL 0xffffffffu
#define PQB_TEXT_BAD 0xfffdu

/* Once, before anything else here. */
void pqb_text_start(void);

/* Is this a terminal that would misread UTF-8? */
int pqb_text_is_ascii_only(FILE *out);

/* Decodes the next character and moves on; 0 at the end. A byte that is no UTF-8 is PQB_TEXT_BAD. A
 * character that the end cuts off is left out: texts in the ledger are cut to fit. */
uint32_t pqb_text_next(const char **at);

/* Writes it as UTF-8. */
void pqb_text_put(FILE *out, uint32_t character);

/* Does it have no place in a line of text: control characters, line ends, changes of direction? */
int pqb_text_is_control(uint32_t character);

/* Columns that pqb_text_print fills. */
unsigned pqb_text_width(const char *text);

/* Prints it in at most `columns`, the last one a mark if it did not fit. Returns the columns used.
 */
unsigned pqb_text_print(FILE *out, const char *text, unsigned columns, int ascii_only);

/* Copies a field that may lack its terminator. `to` has room for one byte more. */
void pqb_text_copy(char *to, const char *field, unsigned capacity);

#endif
