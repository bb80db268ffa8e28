/* The verbs, each in a file of its own. */
#ifndef PQB_TOOL_VERBS_H
#define PQB_TOOL_VERBS_H

#include "tool/call.h"

extern const struct pqb_verb pqb_verb_status;
extern const struct pqb_verb pqb_verb_top;
extern const struct pqb_verb pqb_verb_set;
extern const struct pqb_verb pqb_verb_pause;
extern const struct pqb_verb pqb_verb_resume;
extern const struct pqb_verb pqb_verb_events;
extern const struct pqb_verb pqb_verb_health;
extern const struct pqb_verb pqb_verb_metrics;
extern const struct pqb_verb pqb_verb_plan;
extern const struct pqb_verb pqb_verb_doctor;
extern const struct pqb_verb pqb_verb_serve;
extern const struct pqb_verb pqb_verb_reset;
extern const struct pqb_verb pqb_verb_run;

#endif
