/*
 * One call to STS for all replicas: the lease in Redis that `[redis]` describes, for spin (spinroot.com).
 *
 * Each replica has one request for the same key. Time is counted in ticks: nobody who has something due lets a tick
 * pass. A call may take longer than the lease, as it does when a process is paused. Faults, FAULTS of them, come at any
 * time: a holder is killed, Redis stops answering, comes back whole or empty, an answer of Redis is lost.
 *
 * A name that starts with PLANT_ puts a mistake in, which spin must find.
 */
#define REPLICAS 3
#define LEASE 3
#define CALL 4
#define POLL 1
/* Each replica takes the lease once at most, so a request waits for all others, and then for its own call. */
#define LONGEST_WAIT ((REPLICAS - 1) * (LEASE + POLL) + CALL)
#define FAULTS 2
#define NONE 0

/* Redis. A lease is known by its holder's token, a key by the token of the holder that fetched it. */
bool redis_answers = true;
byte lease = NONE;
byte lease_left = 0;
byte stored_key = NONE;

mtype = { idle, waiting, calling, alone, served, failed, killed };
mtype state[REPLICAS] = idle;
byte due[REPLICAS] = 0;      /* ticks until the replica must act */
byte waited[REPLICAS] = 0;
byte holds[REPLICAS] = 0;    /* ticks for which the replica may believe that the lease is its own */
bool woken[REPLICAS] = false;   /* by the mistakes only: else a message has a replica look sooner, which it may anyway */

byte faults = FAULTS;
byte reasons = 1;            /* calls that may still be made: one, and one more for each that did not end well */
byte shared_key = NONE;      /* the key that Redis gave to a replica */

#define TOKEN(replica) (replica + 1)

inline count_call() { assert(reasons > 0 /* one call, unless there was a reason for another */); reasons-- }

/* No more than all replicas are needed, as each calls once. */
inline excuse(number) { reasons = (reasons + number > REPLICAS -> REPLICAS : reasons + number) }

inline call_alone(me) { state[me] = alone; due[me] = CALL; count_call() }

/* The replica has its answer, or ends without. */
inline end(me, how) { state[me] = how; due[me] = 0; waited[me] = 0; holds[me] = 0; woken[me] = false }

inline take_lease(me) {
    lease = TOKEN(me);
    lease_left = LEASE;
    other = 0;
    do
    :: other < REPLICAS -> assert(holds[other] == 0 /* one holder at a time */); other++
    :: else -> break
    od;
    holds[me] = LEASE;
    state[me] = calling;
    due[me] = CALL;
    other = 0;
    count_call()
}

inline serve_from_redis(me) {
    assert((shared_key == NONE || shared_key == stored_key) /* one key for all */);
    shared_key = stored_key;
    end(me, served)
}

/* The script of a miss: the key, or the lease, or neither. */
inline look(me) {
    if
    :: !redis_answers -> call_alone(me)
    :: redis_answers && stored_key != NONE -> serve_from_redis(me)
    :: redis_answers && stored_key == NONE && lease == NONE ->
#ifdef PLANT_GET_THEN_SET
        state[me] = idle; woken[me] = true
#else
        take_lease(me)
#endif
    :: redis_answers && stored_key == NONE && lease != NONE ->
        state[me] = waiting;
        woken[me] = false;
        due[me] = POLL
    :: redis_answers && faults > 0 ->
        /* The script ran, and its answer was lost. */
        faults--;
        if
        :: stored_key == NONE && lease == NONE -> lease = TOKEN(me); lease_left = LEASE
        :: else -> skip
        fi;
        excuse(1);
        call_alone(me)
    fi
}

/* A message reaches those who wait, or does not. */
inline publish() {
#ifdef PLANT_NO_POLL
    if
    :: woken[0] = true; woken[1] = true; woken[2] = true
    :: skip
    fi
#else
    skip
#endif
}

/*
 * STS answered the holder: a script that stores the key and frees the lease, if the lease is still the holder's. One that
 * comes late stores its key only if there is none and nobody else is fetching one.
 */
inline finish(me) {
    if
    :: !redis_answers -> end(me, served)
    :: redis_answers && lease == TOKEN(me) ->
        stored_key = TOKEN(me);
        lease = NONE;
        serve_from_redis(me);
        publish()
    :: redis_answers && lease != TOKEN(me) ->
        if
#if defined(PLANT_STORE_ANY)
        :: stored_key = TOKEN(me)
#elif defined(PLANT_STORE_IF_NONE)
        :: stored_key == NONE -> stored_key = TOKEN(me)
#else
        :: stored_key == NONE && lease == NONE -> stored_key = TOKEN(me)
#endif
        :: else -> skip
        fi;
#ifdef PLANT_FREE_ANY
        lease = NONE;
#endif
        if
        :: stored_key != NONE -> serve_from_redis(me)
        :: else -> end(me, served)   /* the request that waited for this call gets its key; nobody else does */
        fi
    fi
}

inline fail(me) {
    excuse(1);
    end(me, failed);
    if
    :: redis_answers && lease == TOKEN(me) -> lease = NONE; publish()
    :: else -> skip
    fi
}

#ifdef PLANT_NO_POLL
#define MAY_LOOK_AGAIN(me) woken[me]
#define MUST_ACT(me) (state[me] == waiting && woken[me])
#else
#define MAY_LOOK_AGAIN(me) true
#define MUST_ACT(me) (state[me] == waiting && due[me] == 0)
#endif

proctype Replica(byte me) {
    byte other;
end_idle:
    /* The replicas are alike, so those in which the first request comes first stand for all. */
    atomic { state[me] == idle && (me == 0 || state[me - 1] != idle || woken[me - 1]) -> look(me) }
#ifdef PLANT_GET_THEN_SET
    if
    :: atomic { state[me] == idle && woken[me] -> take_lease(me) }
    :: state[me] != idle -> skip
    fi;
#endif
    do
    :: atomic { state[me] == waiting && MAY_LOOK_AGAIN(me) -> look(me) }
    :: atomic { state[me] == calling -> finish(me) }
    :: atomic { state[me] == calling -> fail(me) }
    :: atomic { state[me] == alone -> end(me, served) }
    :: state[me] == served || state[me] == failed || state[me] == killed -> break
    od
}

#define LETS_TIME_PASS(me) (!MUST_ACT(me) && !((state[me] == calling || state[me] == alone) && due[me] == 0))

inline tick(me) {
    if
    :: state[me] == waiting || state[me] == calling || state[me] == alone ->
        waited[me]++;
        assert(waited[me] <= LONGEST_WAIT /* nobody waits for ever */);
        due[me] = (due[me] > 0 -> due[me] - 1 : 0)
    :: else -> skip
    fi;
    holds[me] = (holds[me] > 0 -> holds[me] - 1 : 0)
}

proctype Clock() {
end_clock:
    do
    :: atomic {
        LETS_TIME_PASS(0) && LETS_TIME_PASS(1) && LETS_TIME_PASS(2) ->
        tick(0); tick(1); tick(2);
#ifndef PLANT_NO_EXPIRY
        if
        :: lease_left > 0 ->
            lease_left--;
            if
            :: lease_left == 0 && lease != NONE -> lease = NONE; excuse(1)
            :: else -> skip
            fi
        :: else -> skip
        fi
#endif
    }
    od
}

proctype Faults() {
    byte victim;
end_faults:
    do
    :: atomic {
        faults > 0 -> faults--;
        if
        :: state[0] == calling -> victim = 0
        :: state[1] == calling -> victim = 1
        :: state[2] == calling -> victim = 2
        :: else -> goto spared
        fi;
        end(victim, killed);
        excuse(1);
spared: victim = 0
    }
    :: atomic { faults > 0 && redis_answers -> faults--; redis_answers = false; excuse(REPLICAS) }
    :: atomic { !redis_answers -> redis_answers = true }
    :: atomic {
        /* A failover to a replica of Redis that has seen none of it: what was promised before is not known any more. */
        !redis_answers -> redis_answers = true;
        lease = NONE; lease_left = 0; stored_key = NONE; shared_key = NONE;
        holds[0] = 0; holds[1] = 0; holds[2] = 0
    }
    od
}

init {
    atomic { run Replica(0); run Replica(1); run Replica(2); run Clock(); run Faults() }
}
