/* What the doctor found, as people and programs see it. */
#ifndef PQB_TOOL_VIEW_DOCTOR_H
#define PQB_TOOL_VIEW_DOCTOR_H

#include "tool/findings.h"
#include "tool/screen.h"

struct pqb_view_doctor {
    const struct pqb_checkup *checkup;
    const struct pqb_census *census;
    const struct pqb_findings *findings;
};

/* Connections of one process, or from one address, are one line. False without memory. */
int pqb_view_doctor_text(const struct pqb_view_doctor *view, const struct pqb_screen *screen,
                         FILE *out);
void pqb_view_doctor_json(const struct pqb_view_doctor *view, FILE *out);

#endif
