/*
 * The claim protocol of shim/ledger, for spin: what processes that are killed at any moment do to one
 * server's claims. tests/model/run has the configurations and the broken variants.
 *
 * How to read it beside the C. A label or an atomic step names the C function it stands for. A step holds at
 * most one access that another process can see; what only the guard's holder reads and writes (queue,
 * counts) is done in the same step as the access before it. A claim's read-then-compare-and-swap loops that
 * run until they succeed are one step; where a state is read and swapped later (burying, granting), it is two.
 * All atomics of the C are sequentially consistent, as Promela is.
 *
 * What is left out: the queue's links (a queue is its claims in the order of their tickets), time (a grant is
 * old, a sleep is over whenever the model likes), several servers, applications, the login damper, slack, the
 * lock `reaper_until` (it only saves work and expires), the hot places of a queue, forks and closed
 * descriptors, damage, reset.
 *
 * drain_until counts for the generation it was written for alone (pqb_ending_stamp). A late hand that
 * overwrites it for the row's next claim, as the code once let it, is BROKEN_UNTIL.
 *
 * Dying: Killer does what the kernel does, at any moment: drops the life locks and the guard. A dead
 * process's socket is closed with it. Its next life is another process.
 *
 * Never stuck is proved as "no invalid end state". Every life ends by giving back or dying, so whoever still
 * waits when nothing else can move is stuck. A tick is free to happen at any moment (EARLY), and does happen
 * when all others sleep (LATE of them at most, counted anew at each grant); a waiter that this
 * many ticks do not help is left blocked at a state that is no end state, and pan reports it. That is
 * stronger than progress under weak fairness: it bounds the help that is needed; and with EARLY=LATE=0 it
 * proves that without deaths nobody needs any, which is what the pending flag is for. A LATE too small could
 * only raise a false alarm.
 */

#ifndef N
#define N 2 /* processes that claim */
#endif
#ifndef C
#define C 2 /* rows for claims */
#endif
#ifndef LIVES
#define LIVES 1 /* claims that each of them makes, one after the other */
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef RESERVE
#define RESERVE 0 /* so many of them are for processes that hold nothing */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef GIVEUPS
#define GIVEUPS 0 /* waits that time out */
#endif
#ifndef STOPS
#define STOPS 0 /* sleepers that stop for ever (SIGSTOP) and keep their claim */
#endif
#ifndef TAKEBACKS
#define TAKEBACKS 0 /* grants that are taken back from somebody who is only slow */
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef LATE
#define LATE 0
#endif
/* The processes that share an account: with PAIR, 0 and 1 are two claims of one process. */
/* THREADS: they are threads of it, too, and share the process lock. */
#ifdef PAIR
#define ACCOUNT(p) ((p) < 2 -> 0 : (p))
#else
#define ACCOUNT(p) (p)
#endif

/* Processes are interchangeable, so let them start in the order of their numbers. */
#ifdef PAIR
#define ALIKE(p) ((p) == 2)
#else
#define ALIKE(p) 0
#endif

/* Between two accesses of one step that are two steps in the fine model. */
#ifdef COARSE
#define THEN ;
#else
#define THEN }; atomic {
#endif

#define GENERAL_ROOM (LIMIT - RESERVE)
#define NOBODY 15
#define NIL C

/* enum pqb_claim_state */
#define FREE 0
#define WAITING 1
#define GRANTED 2
#define CONNECTING 3
#define OPEN 4
#define DRAINING 5
#define GONE 6

/* enum pqb_booked */
#define NONE 0
#define IN_QUEUE 1
#define IN_GENERAL 2
#define IN_RESERVE 3

typedef claim_row {
    unsigned state : 3;  /* ctl: state, */
    bit skipped;         /*      PQB_CTL_SKIPPED, */
    unsigned gen : 4;    /*      generation */
    unsigned ticket : 4; /* 0 once it is off the books: keeps the states few */
    unsigned owner : 4;  /* `process`: 1 + account, NOBODY once that has died, 0 = none */
    unsigned booked : 2;
    bit busy;            /* its bit of header.busy */
    bit pending;         /* its bit of header.pending */
    bit word;            /* the futex word has changed since its owner looked at it last */
    unsigned life : 3;   /* who holds the life lock: 1 + process, 0 = nobody */
#ifdef DRAIN
    bit seen;             /* backend_seen */
    bit backend;          /* ghost: the server has a backend for it */
    unsigned until : 4;   /* drain_until: the generation it was written for */
#endif
};

#ifdef THREADS
bit process_lock; /* of the process whose threads 0 and 1 are, */
bit missed;       /* and its LOCK_MISSED */
#define HAS_SIBLING (me < 2)
#define LOCK_PROCESS process_lock = (HAS_SIBLING -> 1 : process_lock)
#define UNLOCK_PROCESS process_lock = (HAS_SIBLING -> 0 : process_lock); missed = (HAS_SIBLING -> 0 : missed)
#define PROCESS_FREE (!HAS_SIBLING || !process_lock)
#define BUSY goto busy
#else
#define BUSY get_on()
#endif

claim_row row[C];
bit summary;   /* header.pending_groups */
byte waiting;  /* header.waiting */
byte guard;    /* the lock on the file `guard`: 1 + process, 0 = free */
bit dirty;     /* header.dirty */
byte tickets;  /* header.next_ticket */
byte general;  /* server.general */
byte reserve;  /* server.reserve */

/* What the guard's holder has on his stack. Only one is inside: one copy for all. */
byte at;        /* the claim a walk has come to */
byte pick;      /* whom to grant */
byte pool;
byte mask;      /* harvest_group: claims */
bit served;     /* harvest: a claim was settled, its server wants a dispatch */
byte stage;     /* where the present dispatch was called from */
#define BY_REBUILD 0
#define BY_HARVEST 1
#define BY_VISITOR 2

#define RUNNING 0
#define ASLEEP 1
#define STOPPED 2
#define ENDED 3
typedef process_row {
    unsigned mode : 2;
    unsigned claim : 3; /* the row it has, NIL = none */
    bit dead;           /* killed; has still to notice */
    bit alive;
    bit connected; /* ghost: has its socket */
    bit started;
};
process_row proc[N + 1]; /* the last one is the visitor after all have gone */

byte crashes = CRASHES, giveups = GIVEUPS, stops = STOPS, takebacks = TAKEBACKS, early = EARLY,
     late = LATE;
byte ended;
byte last_granted; /* ghost: the youngest ticket that was granted */

hidden byte k, best, sum, ok; /* scratch of d_steps */

/* How many processes run; when none does, time passes. */
#define RUNS(p) (proc[p].mode == RUNNING)
#if N == 1
#define RUNNERS RUNS(0)
#elif N == 2
#define RUNNERS (RUNS(0) + RUNS(1))
#elif N == 3
#define RUNNERS (RUNS(0) + RUNS(1) + RUNS(2))
#elif N == 4
#define RUNNERS (RUNS(0) + RUNS(1) + RUNS(2) + RUNS(3))
#endif
/* All others have slept for long: what was granted and not taken up is older than WAKE_AGAIN. */
#define ALONE (RUNNERS == 1)

#ifdef DRAIN
/* Backends that have lost their clients. */
#define LEFT_BEHIND(c) (row[c].backend && (!row[c].life || row[c].state == DRAINING))
#if C == 2
#define BACKENDS (LEFT_BEHIND(0) || LEFT_BEHIND(1))
#elif C == 3
#define BACKENDS (LEFT_BEHIND(0) || LEFT_BEHIND(1) || LEFT_BEHIND(2))
#endif
#else
#define BACKENDS 0
#endif
#define QUIET (!RUNNERS && !BACKENDS)

/* The visitor who comes when all have gone; or, with STATUS, one who comes when he likes and looks. */
#ifdef STATUS
#define COMES true
#define COMES_LAST 0
#else
#define COMES (ended == N)
#define COMES_LAST 1
#endif
#ifdef DRAIN
#define VISITS 4
#else
#define VISITS 2
#endif

/* Grants come in the order of the tickets, whatever dies, where nothing else may hold a claim back. */
#define IN_ORDER (!TAKEBACKS && !STOPS && !RESERVE)

/* What a look leaves alone without a step of its own. */
#ifdef COARSE
#define SAYS_NOTHING(c) \
    (!row[c].busy || c == mine || (row[c].life && row[c].state != GRANTED && row[c].state != GONE))
#else
#define SAYS_NOTHING(c) (!row[c].busy || c == mine)
#endif

/* A grant that was flagged because it has not been taken up for long, while others wait. */
#define LIES(c) (row[c].state == GRANTED && waiting)

#define IS_STOPPED(c) (row[c].life && proc[row[c].life - 1].mode == STOPPED)

#ifdef BROKEN_TAKE_BACK
#define TAKEN_BACK(c) 0
#else
#define TAKEN_BACK(c) IS_STOPPED(c)
#endif

#define IS_WANTED(s) ((s) >= WAITING && (s) <= OPEN)
#define IS_HELD(s) ((s) >= GRANTED && (s) <= DRAINING)

/* ---- the books (books.c): guard's holder only ---- */

/* pqb_books_charge. The assertions: `corrupt` never comes up in a ledger that nobody damages. */
inline charge(c, to) {
    if
    :: row[c].booked == IN_QUEUE -> assert(waiting > 0); waiting--
    :: row[c].booked == IN_GENERAL -> assert(general > 0); general--
    :: row[c].booked == IN_RESERVE -> assert(reserve > 0); reserve--
    :: else
    fi;
    row[c].booked = to;
    if
    :: row[c].booked == IN_QUEUE -> waiting++
    :: row[c].booked == IN_GENERAL -> general++
    :: row[c].booked == IN_RESERVE -> reserve++
    :: else
    fi
}

inline make_free(c) {
    row[c].state = FREE;
    row[c].busy = 0;
    row[c].skipped = 0;
    row[c].owner = 0;
    row[c].ticket = 0;
    row[c].word = 0
}

/* pqb_books_settle, with strike_out. */
inline settle(c) {
    if
    :: row[c].state == FREE
    :: row[c].state == GONE -> charge(c, NONE); make_free(c)
    :: row[c].state == WAITING && row[c].booked != IN_QUEUE -> charge(c, IN_QUEUE)
    :: IS_HELD(row[c].state) && row[c].booked < IN_GENERAL -> charge(c, IN_GENERAL)
    :: else
    fi
}

/* rebook of rebuild.c; queued claims come in requeue. */
inline rebook(c) {
    best = row[c].booked;
    row[c].booked = NONE;
    if
    :: row[c].state == FREE
    :: row[c].state == GONE -> make_free(c)
    :: else ->
        row[c].busy = 1;
        if
        :: row[c].state == WAITING
        :: row[c].state != WAITING && best == IN_RESERVE -> charge(c, IN_RESERVE)
        :: else -> charge(c, IN_GENERAL)
        fi
    fi;
    best = 0
}

inline requeue(c) {
    if
    :: row[c].state == WAITING -> charge(c, IN_QUEUE)
    :: else
    fi
}

/* pqb_admission_obstacle: into `ok` the pool that has room for this claim, or NONE. */
inline admit(c) {
    ok = NONE;
    sum = 0;
    k = 0;
    do
    :: k < C ->
        if
        :: row[k].booked >= IN_GENERAL && row[k].owner == row[c].owner -> sum++
        :: else
        fi;
        k++
    :: else -> break
    od;
    if
    :: row[c].skipped || general + reserve >= LIMIT
    :: else ->
        if
        :: general < GENERAL_ROOM -> ok = IN_GENERAL
        :: general >= GENERAL_ROOM && !sum && reserve < RESERVE -> ok = IN_RESERVE
        :: else
        fi
    fi;
    sum = 0;
    k = 0
}

#ifdef BROKEN_QUEUE
#define COMES_BEFORE(a, b) (row[a].ticket > row[b].ticket)
#else
#define COMES_BEFORE(a, b) (row[a].ticket < row[b].ticket)
#endif

/* first_eligible: the queue is walked in the order of its tickets. */
inline first_eligible() {
    pick = NIL;
    pool = NONE;
    at = 0;
    do
    :: at < C ->
        if
        :: row[at].booked == IN_QUEUE ->
            admit(at);
            if
            :: ok && (pick == NIL || COMES_BEFORE(at, pick)) -> pick = at; pool = ok
            :: else
            fi
        :: else
        fi;
        at++
    :: else -> break
    od;
    /* FIFO, from the claims themselves and not from the queue: nobody who waits and could be admitted
     * is older than the one who is; and if nobody is, nobody could be. */
    at = 0;
    do
    :: at < C ->
        if
        :: row[at].state == WAITING && !row[at].skipped ->
            admit(at);
            assert(!ok || (pick != NIL && row[pick].ticket <= row[at].ticket))
        :: else
        fi;
        at++
    :: else -> break
    od;
    ok = 0;
    at = 0
}

/* recharge: a reserve claim that general has room for; `ok` says whether there was one. */
inline recharge() {
    ok = 0;
    pick = 0;
    if
    :: RESERVE && reserve && general < GENERAL_ROOM ->
        do
        :: row[pick].booked == IN_RESERVE -> break
        :: else -> pick++
        od;
        charge(pick, IN_GENERAL);
        pick = 0;
        ok = 1
    :: else
    fi
}

/* Never over: no more claims hold or may connect than the limit. */
inline check_limit() {
    k = 0;
    sum = 0;
    do
    :: k < C ->
        if
        :: IS_HELD(row[k].state) -> sum++
        :: else
        fi;
        k++
    :: else -> break
    od;
    assert(sum <= LIMIT);
    k = 0;
    sum = 0
}

/* The same of real connections, and of the server's backends. */
inline check_connections() {
    k = 0;
    sum = 0;
#ifdef DRAIN
    do
    :: k < C -> sum = sum + row[k].backend; k++
    :: else -> break
    od;
#else
    do
    :: k <= N -> sum = sum + proc[k].connected; k++
    :: else -> break
    od;
#endif
    assert(sum <= LIMIT);
    k = 0;
    sum = 0
}

inline wake(c) {
    if
    :: row[c].life && proc[row[c].life - 1].mode == ASLEEP && proc[row[c].life - 1].claim == c ->
        proc[row[c].life - 1].mode = RUNNING
    :: else
    fi
}

inline forget_stack() {
    at = 0;
    pick = 0;
    pool = 0;
    mask = 0;
    served = 0;
    stage = 0
}

#define HAS(set, c) (((set) >> (c)) & 1)

/* ---- a process ---- */

/* What a visit is for, and where it goes on after that. */
#define SUBMIT 0
#define TICK 1
#define UNSKIP 2
#define GIVE 3
#define FIRST 4 /* pqb_tick_first, until it is clear whether it visits */

/* pqb_guard_enter, got the lock. Death between the lock and `dirty` changes nothing: one step. */
inline get_in() {
    guard = me + 1;
    if
#ifndef BROKEN_REBUILD
    :: dirty -> goto rebuild
#endif
    :: else -> dirty = 1; goto harvest
    fi
}

/* The visit is over, successful or not. */
inline get_on() {
    again = 0;
    if
    :: reason == SUBMIT || reason == UNSKIP -> goto wait
    :: reason == TICK && mine < C -> goto ticked
    :: reason == TICK && mine == C -> left++; goto seen
    :: else -> goto over
    fi
}

/* pqb_visit_enter is through; `again`: a visit after a visit only serves what is pending. */
inline harvested() {
    if
    :: !again && reason == SUBMIT -> goto enqueue
    :: !again && reason == TICK -> stage = BY_VISITOR; goto dispatch
    :: else -> goto leave
    fi
}

proctype Process(byte me) {
    byte left = LIVES;
    byte mine;    /* the claim: index */
    byte gen;     /*            generation */
    byte reason;  /* what the visit is for */
    byte other;   /* look: the claim looked at, */
    byte state;   /*       the control word that was read */
    byte its_gen;
    byte wakes;   /* books.wake */
    bit again;    /* this visit is one more, or was asked for by `serve` */

end_begin: /* the visitor stays here if somebody is stopped for ever */
    if
    :: atomic {
        me < N && left && (!me || ALIKE(me) || proc[me - 1].started) ->
            left--;
            proc[me].alive = 1
        }
    :: atomic { me < N && !left -> proc[me].mode = ENDED; ended++; goto end_process }
    :: atomic { me == N && COMES -> mine = NIL; left = 0; reason = TICK; goto look }
    fi;

    {
#ifdef THREADS
        atomic { PROCESS_FREE -> LOCK_PROCESS }; /* pqb_visit_open */
#endif
        /* find_free, pqb_life_take: locking the byte is the allocation. The trial of a byte whose
         * claim turns out not to be FREE is left out. */
        atomic {
            proc[me].started = 1;
            do
            :: mine < C && (row[mine].state != FREE || row[mine].life) -> mine++
            :: else -> break
            od;
            if
            :: mine < C ->
                row[mine].life = me + 1;
                proc[me].claim = mine;
                gen = row[mine].gen + 1;
                reason = SUBMIT
            :: else -> /* PQB_FULL */
#ifdef THREADS
                UNLOCK_PROCESS;
#endif
                goto over
            fi
        };
        atomic { guard == 0 -> get_in() };

        /* wait_for: the word before the state, then pqb_claim_take. */
    wait:
        atomic {
#ifndef BROKEN_WORD
            row[mine].word = 0
            THEN
#endif
            assert(row[mine].gen == gen); /* nobody buries the living */
            assert(row[mine].state == WAITING || row[mine].state == GRANTED);
            if
            :: row[mine].state == GRANTED ->
                row[mine].state = CONNECTING;
                proc[me].connected = 1;
                d_step { check_connections() };
                goto connected
            :: row[mine].state == WAITING && row[mine].skipped ->
                row[mine].skipped = 0;
                reason = UNSKIP;
                goto flag
            :: else -> reason = (reason == SUBMIT -> FIRST : TICK); goto look
            fi
        };

    ticked:
        atomic {
#ifdef BROKEN_WORD
            row[mine].word = 0;
#endif
            if
            :: row[mine].word -> goto wait
            :: else -> proc[me].mode = ASLEEP
            fi
        };
        if
        :: atomic { proc[me].mode == RUNNING -> goto wait } /* woken */
        :: atomic { proc[me].mode && early -> early--; proc[me].mode = RUNNING; goto wait }
        :: atomic { QUIET && late -> late--; proc[me].mode = RUNNING; goto wait }
        :: atomic { proc[me].mode && giveups -> giveups--; proc[me].mode = RUNNING; goto give }
        :: atomic { proc[me].mode && stops -> stops--; proc[me].mode = STOPPED };
        end_stopped:
            false
        fi;

        /* Has its connection. pqb_claim_open: */
    connected:
#ifdef DRAIN
        atomic { row[mine].seen = 1; row[mine].backend = 1; d_step { check_connections() } };
        atomic {
            assert(row[mine].gen == gen && row[mine].state == CONNECTING);
            row[mine].state = OPEN
        };
        atomic { row[mine].pending = 1 THEN summary = 1 };
#endif

        /* pqb_claim_give: pqb_ending_step, */
    give:
#ifdef BROKEN_DEKKER
        atomic { state = (waiting > 0) };
#endif
#ifdef BROKEN_UNLOCK
        atomic { row[mine].life = 0 };
#endif
        atomic {
            assert(row[mine].gen == gen && IS_WANTED(row[mine].state));
            proc[me].connected = 0;
#ifdef DRAIN
            row[mine].until = gen;
            row[mine].state = (row[mine].state == OPEN -> DRAINING : GONE);
#else
            row[mine].state = GONE;
#endif
            reason = GIVE
        };
    flag: /* pqb_books_flag */
        atomic {
            row[mine].pending = 1
            THEN
            summary = 1;
            if
            :: reason == UNSKIP -> goto serve
            :: else
            fi
        };
        /* pqb_life_give: under the process lock if that is free, and then the description is kept */
#ifdef THREADS
        atomic { its_gen = PROCESS_FREE; missed = missed || !its_gen; LOCK_PROCESS };
#endif
        atomic { row[mine].life = 0; proc[me].claim = NIL; mine = NIL };
#ifdef THREADS
        atomic {
            if
            :: its_gen -> UNLOCK_PROCESS; its_gen = 0
            :: else
            fi
        };
#endif
        /* pqb_visit_serve: somebody_waits, and a try. */
    serve:
        atomic {
            again = 1;
            if
#ifdef BROKEN_DEKKER
            :: state -> state = 0
#else
            :: waiting
#endif
            :: else -> get_on()
            fi
        };

        /* ---- a visit (visit.c) ---- */

    try:
#ifdef THREADS
        atomic {
            if
            :: PROCESS_FREE -> LOCK_PROCESS
            :: else -> missed = 1; get_on() /* a sibling has it, who need not be inside */
            fi
        };
#endif
        atomic {
            if
            :: guard == 0 -> get_in()
            :: else -> BUSY /* whoever is inside looks again */
            fi
        };

    rebuild: /* pqb_rebuild: forget_books, */
        atomic {
            waiting = 0;
            general = 0;
            reserve = 0;
            do
            :: at < C -> row[at].busy = 0; row[at].pending = 0; at++
            :: else -> at = 0; break
            od
            THEN
            summary = 0
        };
    rebooking:
        atomic {
            d_step { rebook(at) };
            at++;
            if
            :: at < C -> goto rebooking
            :: else -> at = 0
            fi
        };
    requeueing:
        atomic {
            d_step { requeue(at) };
            at++;
            if
            :: at < C -> goto requeueing
            :: else -> at = 0; stage = BY_REBUILD; goto dispatch
            fi
        };

    harvest: /* pqb_admission_harvest: the summary before the flags. */
        atomic {
            if
            :: summary -> summary = 0
            :: else -> harvested()
            fi
            THEN
            do
            :: at < C -> mask = mask | (row[at].pending << at); row[at].pending = 0; at++
            :: else -> at = 0; break
            od
        };
    settling: /* harvest_group */
        atomic {
            do
            :: at < C && !HAS(mask, at) -> at++
            :: else -> break
            od;
            if
            :: at < C
            :: at == C && served -> at = 0; mask = 0; served = 0; stage = BY_HARVEST; goto dispatch
            :: else -> at = 0; mask = 0; harvested()
            fi;
            settle(at);
            served = 1;
            /* lies_untouched: its owner is stopped, or so slow that he might be */
            if
#ifndef BROKEN_TAKE_BACK
            :: LIES(at) && IS_STOPPED(at)
#endif
            :: LIES(at) && !IS_STOPPED(at) && takebacks -> takebacks--
            :: !(LIES(at) && TAKEN_BACK(at)) -> at++; goto settling
            fi
        };
        /* pqb_admission_take_back */
        atomic {
            if
            :: row[at].state == GRANTED -> row[at].state = WAITING; row[at].skipped = 1
            :: else -> at++; goto settling
            fi
        };
        atomic { settle(at); at++; goto settling };

    enqueue: /* pqb_books_enter: the claim is published, then queued. */
        atomic {
            tickets++;
            row[mine].ticket = tickets;
            row[mine].owner = ACCOUNT(me) + 1;
            row[mine].booked = NONE;
            row[mine].busy = 1;
            row[mine].gen = gen;
            row[mine].state = WAITING
        };
        atomic { charge(mine, IN_QUEUE); stage = BY_VISITOR };

    dispatch: /* pqb_admission_dispatch */
        atomic {
            d_step { first_eligible() };
            if
            :: pick < C -> goto grant
            :: else
            fi;
            d_step { recharge() };
            if
            :: ok -> ok = 0; goto dispatch
            :: !ok && stage == BY_REBUILD -> goto harvest
            :: !ok && stage == BY_HARVEST -> harvested()
            :: else -> goto leave
            fi
        };
    grant:
        atomic {
            if
            :: row[pick].state == WAITING ->
                row[pick].state = GRANTED;
                d_step { check_limit() };
#if IN_ORDER
                assert(row[pick].ticket > last_granted);
                last_granted = row[pick].ticket;
#endif
                late = LATE
            :: else -> settle(pick); pick = 0; pool = 0; goto dispatch /* given up this moment */
            fi
        };
        atomic {
            charge(pick, pool);
            settle(pick);
            if /* pqb_books_wake */
            :: again || reason != SUBMIT || pick != mine ->
                row[pick].word = 1;
                wakes = wakes | (1 << pick)
            :: else
            fi;
            pick = 0;
            pool = 0;
            goto dispatch
        };

    leave: /* pqb_guard_leave, */
        atomic {
            forget_stack();
            dirty = 0;
            guard = 0;
#ifdef THREADS
        };
        atomic {
            UNLOCK_PROCESS;
#endif
            again = 1;
            if
            :: wakes
            :: else -> goto close
            fi
        };
        /* wake_all; pqb_visit_close: is anything pending, and does anybody wait? */
        atomic {
            d_step {
                k = 0;
                do
                :: k < C && HAS(wakes, k) -> wake(k); k++
                :: k < C && !HAS(wakes, k) -> k++
                :: else -> break
                od;
                k = 0;
                wakes = 0
            }
        };
    close:
        atomic {
#ifdef BROKEN_NO_RECHECK
            get_on();
#endif
            if
            :: summary
            :: else -> get_on()
            fi
            THEN
            if
            :: waiting -> goto try
            :: else -> get_on()
            fi
        };

        /* ---- pqb_tick_look ---- */

    look:
        atomic {
            do
            :: other < C && SAYS_NOTHING(other) -> other++
            :: else -> break
            od;
            if
#ifdef BROKEN_PROBE
            :: other < C -> its_gen = !row[other].life
#else
            :: other < C -> state = row[other].state; its_gen = row[other].gen
#endif
            :: else -> other = 0; goto looked
            fi
        };
        atomic {
#ifdef BROKEN_PROBE
            state = row[other].state;
            if
            :: IS_WANTED(state) && its_gen -> its_gen = row[other].gen; goto bury
            :: IS_WANTED(state) && !its_gen -> goto look_next
            :: else
            fi;
#endif
            if
            :: IS_WANTED(state) && row[other].life -> /* pqb_life_probe; look_at_living */
                if
                :: state == GRANTED && IS_STOPPED(other) -> goto look_flag
                :: state == GRANTED && takebacks -> wake(other); goto look_flag
                :: state == GRANTED && !IS_STOPPED(other) && (EARLY || LATE) -> wake(other); goto look_next
                :: !(state == GRANTED && (IS_STOPPED(other) || (LATE && ALONE))) -> goto look_next
                fi
            :: IS_WANTED(state) && !row[other].life -> goto bury
            :: state == DRAINING -> goto drained
            :: state == GONE -> goto look_flag
            :: state == FREE -> goto look_next
            fi
        };
    bury: /* pqb_ending_bury, pqb_ending_step */
        atomic {
#ifdef DRAIN
            row[other].until = its_gen;
        };
        atomic {
#endif
            if
#ifdef BROKEN_BURY
            :: row[other].state == state ->
#else
            :: row[other].state == state && row[other].gen == its_gen ->
#endif
#ifdef DRAIN
                row[other].state = (state == OPEN || state == CONNECTING -> DRAINING : GONE)
#else
                row[other].state = GONE
#endif
            :: else -> goto look_next
            fi
        };
        goto look_flag;
    drained: /* pqb_ending_drained: its backend has exited; or was never seen, and then its time is
              * over when the model likes */
#ifdef DRAIN
        atomic {
            if
            :: !row[other].seen || !row[other].backend
#ifdef BROKEN_UNTIL
            :: row[other].until != row[other].gen /* somebody else's time: may be long over */
#endif
            :: row[other].seen && row[other].backend -> goto look_next
            fi
        };
        atomic {
            if
            :: row[other].state == DRAINING && row[other].gen == its_gen ->
                assert(!row[other].backend);
                row[other].state = GONE
            :: else -> goto look_next
            fi
        };
#endif
    look_flag:
        atomic { row[other].pending = 1 THEN summary = 1 };
    look_next:
        atomic { other++; state = 0; its_gen = 0; goto look };
    looked:
        atomic {
            if
            :: reason == FIRST -> reason = TICK;
                if
                :: !summary -> get_on()
                :: else
                fi
            :: else
            fi
        };
        /* pqb_tick: tries for TICK_PATIENCE, then does without */
#ifdef THREADS
        atomic {
            if
            :: PROCESS_FREE -> LOCK_PROCESS
            :: !PROCESS_FREE -> missed = 1; get_on()
            fi
        };
#endif
        atomic {
            if
            :: guard == 0 -> get_in()
            :: guard != 0 -> BUSY
            fi
        };
#ifdef THREADS
    busy: /* pqb_visit_begin: whoever is inside may have looked before a sibling flagged something */
        atomic {
            if
#ifndef BROKEN_MISSED
            :: HAS_SIBLING && missed -> UNLOCK_PROCESS; goto try
#endif
            :: else -> UNLOCK_PROCESS; get_on()
            fi
        };
#endif

        /* The visitor after all have gone ticks twice, and twice more for the backends. */
    seen:
        if
        :: atomic { left < VISITS && (!COMES_LAST || !BACKENDS) -> goto look }
        :: left == VISITS
        fi;
        /* Never lost: nothing is counted any more. */
        atomic {
            other = 0;
#ifndef STATUS
            do
            :: other < C ->
                assert(row[other].state == FREE);
                assert(row[other].booked == NONE);
                other++
            :: else -> break
            od;
            assert(general == 0 && reserve == 0 && waiting == 0);
#endif
            goto end_process
        };
    } unless {
        proc[me].dead
    };

    /* One life is over; nothing is left of it. */
over:
    atomic {
        mine = 0;
        gen = 0;
        reason = 0;
        other = 0;
        state = 0;
        its_gen = 0;
        wakes = 0;
        again = 0;
        proc[me].claim = NIL;
        proc[me].dead = 0;
        proc[me].alive = 0;
        proc[me].mode = RUNNING;
        goto end_begin
    };
end_process:
    skip
}

/* The kernel, when somebody dies: his life locks go, the guard goes, his socket is closed. */
inline kill(victim) {
    proc[victim].dead = 1;
    proc[victim].alive = 0;
    proc[victim].connected = 0;
    proc[victim].mode = RUNNING;
    k = 0;
    do
    :: k < C ->
        if
        :: row[k].life == victim + 1 ->
            row[k].life = 0;
            row[k].owner = (row[k].owner -> NOBODY : 0)
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0;
    if
    :: guard == victim + 1 -> guard = 0; forget_stack()
    :: else
    fi
#ifdef THREADS
    ;
    process_lock = (victim < 2 -> 0 : process_lock);
    missed = (victim < 2 -> 0 : missed)
#endif
}

proctype Killer() {
end_killer:
    do
#ifdef PAIR
    :: d_step {
        crashes && (proc[0].alive || proc[1].alive) ->
            crashes--;
            if
            :: proc[0].alive -> kill(0)
            :: else
            fi;
            if
            :: proc[1].alive -> kill(1)
            :: else
            fi
        }
#else
    :: d_step { crashes && proc[0].alive -> crashes--; kill(0) }
    :: d_step { crashes && proc[1].alive -> crashes--; kill(1) }
#endif
#if N > 2
    :: d_step { crashes && proc[2].alive -> crashes--; kill(2) }
#endif
#if N > 3
    :: d_step { crashes && proc[3].alive -> crashes--; kill(3) }
#endif
    od
}

#ifdef DRAIN
/* PostgreSQL: a backend exits some time after its client. */
proctype Server() {
end_server:
    do
    :: atomic { LEFT_BEHIND(0) -> row[0].backend = 0 }
    :: atomic { LEFT_BEHIND(1) -> row[1].backend = 0 }
#if C > 2
    :: atomic { LEFT_BEHIND(2) -> row[2].backend = 0 }
#endif
    od
}
#endif

init {
    byte p;
    atomic {
        do
        :: p < N + 1 -> proc[p].claim = NIL; run Process(p); p++
        :: else -> break
        od;
        p = 0;
#if CRASHES
        run Killer();
#endif
#ifdef DRAIN
        run Server();
#endif
    }
}
