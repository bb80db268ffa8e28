/* What ThreadSanitizer is not to report: for the one file of a program that includes this. */
#ifndef PQB_TESTS_RACES_H
#define PQB_TESTS_RACES_H

/* Reads on purpose from outside the guard: each is a guess that is checked afterwards by the
 * claim's control word, or that costs no more than a look too many. They write atomics only. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:pqb_snapshot_take\n"    /* a copy between two equal control words */
           "race:pqb_holders_look\n"     /* the same; words for a person */
           "race_top:look_at\n"          /* flags a claim too many */
           "race_top:ask_for_those_of\n" /* the same */
           "race_top:ask_for\n"
           "race_top:drainers_block\n" /* visits once too often, or at the next tick */
           "race:pqb_ending_bury\n"    /* reads, then compare-and-swap */
           "race:pqb_ending_drained\n"
           "race_top:watch_drainers\n"
           "race_top:pqb_books_ring\n"   /* rings a bell too many */
           "race_top:pqb_claim_config\n" /* how long to wait: half old, half new is as good */
           "race:is_ours\n"              /* asks about a number that may be closed at any time */
           "race:pqb_prospect_*\n"       /* a guess: who asks for a claim then is told the truth */
           "race_top:pqb_wish_has_others\n" /* between two equal control words */
           "race:obstacle_of\n";            /* words for a person */
}

#endif
