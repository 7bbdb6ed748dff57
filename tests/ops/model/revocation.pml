/*
 * Revoking a user on all replicas: published, and polled by those whom the message did not reach, for spin
 * (spinroot.com).
 *
 * An operator revokes a user on one replica and may restore the user later. The user sends requests to the other, which
 * answers at once, or after a call of STS. Messages may be lost; Redis stops answering, and comes back whole or empty.
 *
 * A name that starts with PLANT_ puts a mistake in, which spin must find.
 */
#define POLL 1
#define CALL 3
#define FAULTS 2
#define KNOWN_LONG_AGO (POLL + 1)

/* Versions of the user's entry. The higher one counts, wherever it comes from. */
#define NEVER_REVOKED 0
#define REVOKED 1
#define RESTORED 2

#define OPERATORS 0     /* the replica that the operator speaks to */
#define USERS 1         /* the replica that the user speaks to */

bool redis_answers = true;
byte in_redis = NEVER_REVOKED;
byte known[2] = NEVER_REVOKED;
byte due[2] = POLL;             /* ticks until the replica must poll */
byte known_for = 0;             /* ticks for which Redis has had the operator's latest word, and answered */
byte unwritten_for = 0;         /* ticks for which Redis answered and did not have it */
bool calling = false;
byte call_left = 0;
byte faults = FAULTS;

#ifdef PLANT_UNION
/* A set of revoked users: whoever has seen the user revoked says so for ever. */
#define LATER(left, right) ((left == REVOKED || right == REVOKED) -> REVOKED : (left > right -> left : right))
#else
#define LATER(left, right) (left > right -> left : right)
#endif

inline learn(who) {
    known[who] = LATER(known[who], in_redis)
}

/* Takes what Redis knows, and gives it what it does not. */
inline poll(who) {
    if
    :: redis_answers -> learn(who); in_redis = LATER(in_redis, known[who])
    :: else -> skip
    fi;
    due[who] = POLL
}

inline decide(version) {
    known[OPERATORS] = version;
    known_for = 0;
    unwritten_for = 0;
    if
    :: redis_answers ->
        in_redis = LATER(in_redis, version);
        if
        :: learn(USERS)         /* the message arrives */
        :: skip                 /* or is lost */
        fi
    :: else -> skip             /* the next poll writes it */
    fi
}

inline answer() {
    if
    :: known[USERS] == REVOKED ->
        assert(!(known[OPERATORS] == RESTORED && known_for > POLL) /* a restored user is served */)
    :: else ->
        assert(!(known[OPERATORS] == REVOKED && known_for > POLL) /* a revoked user gets no key */)
    fi
}

proctype Operator() {
end_revoke:
    atomic { decide(REVOKED) };
end_restore:
    atomic { true -> decide(RESTORED) }
}

proctype User() {
end_user:
    do
    :: atomic { !calling -> answer() }
    :: atomic { !calling && known[USERS] != REVOKED -> calling = true; call_left = CALL }
    :: atomic {
        calling -> calling = false;
#ifdef PLANT_NO_SECOND_LOOK
        assert(!(known[OPERATORS] == REVOKED && known_for > POLL) /* a revoked user gets no key */)
#else
        answer()
#endif
    }
    od
}

proctype Poll(byte who) {
end_poll:
    do
#ifdef PLANT_NO_POLL
    :: atomic { due[who] == 0 -> due[who] = POLL }
#else
    :: atomic { due[who] == 0 -> poll(who) }
#endif
    od
}

proctype Clock() {
end_clock:
    do
    :: atomic {
        due[0] > 0 && due[1] > 0 && (!calling || call_left > 0) ->
        due[0]--; due[1]--;
        call_left = (calling -> call_left - 1 : 0);
        if
        :: !redis_answers -> skip
        :: redis_answers && in_redis == known[OPERATORS] ->
            unwritten_for = 0;
            known_for = (known_for < KNOWN_LONG_AGO -> known_for + 1 : known_for)
        :: else ->
            known_for = 0;
            unwritten_for++;
            assert(unwritten_for <= POLL /* Redis knows it after a poll */)
        fi
    }
    od
}

proctype Faults() {
end_faults:
    do
    :: atomic { faults > 0 && redis_answers -> faults--; redis_answers = false; known_for = 0; unwritten_for = 0 }
    :: atomic { !redis_answers -> redis_answers = true }
    :: atomic { !redis_answers -> redis_answers = true; in_redis = NEVER_REVOKED }
    od
}

init {
    atomic { run Operator(); run User(); run Poll(0); run Poll(1); run Clock(); run Faults() }
}
