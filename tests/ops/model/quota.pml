/*
 * One quota for all replicas: GCRA in Redis, of which each replica takes batches, for spin (spinroot.com).
 *
 * STS allows QUOTA calls in any WINDOW ticks. Redis grants BATCH calls at once, and no more until BATCH * INTERVAL
 * ticks later; what a replica has not used LAPSE ticks after the grant is void. A replica that does not reach Redis
 * makes its share of the calls. Each may lose Redis on its own; once, Redis comes back empty.
 *
 * With WHOLE_REDIS, nobody loses Redis. A name that starts with PLANT_ puts a mistake in, which spin must find.
 */
#define REPLICAS 2
#define WINDOW 6
#define QUOTA 4
#define INTERVAL 2
#define BATCH 2
#define LAPSE 1
/* Calls that were granted before, and each replica's share, once in the same window. */
#define QUOTA_WITHOUT_REDIS (2 * QUOTA)

#ifdef PLANT_WHOLE_QUOTA_ALONE
#define ALONE_INTERVAL INTERVAL
#else
#define ALONE_INTERVAL (INTERVAL * REPLICAS)
#endif

byte granted_for = 0;               /* ticks until Redis grants again: the theoretical arrival time, from now */
bool reaches_redis[REPLICAS] = true;
byte batch[REPLICAS] = 0;
byte batch_left[REPLICAS] = 0;      /* ticks until the batch lapses */
byte alone_for[REPLICAS] = 0;       /* ticks until a replica on its own may call again */
byte calls[WINDOW] = 0;             /* of this tick and those before */
byte disturbed = 0;                 /* ticks until nothing of the time without Redis is in the window */
bool was_wiped = false;
bool has_read[REPLICAS] = false;

inline call() {
    calls[0]++;
    if
    :: disturbed == 0 ->
        assert(calls[0] + calls[1] + calls[2] + calls[3] + calls[4] + calls[5] <= QUOTA /* never above the quota */)
    :: else ->
        assert(calls[0] + calls[1] + calls[2] + calls[3] + calls[4] + calls[5] <= QUOTA_WITHOUT_REDIS /* bounded */)
    fi
}

inline grant(me) {
    granted_for = granted_for + BATCH * INTERVAL;
    batch[me] = BATCH;
    batch_left[me] = LAPSE
}

proctype Replica(byte me) {
end_replica:
    do
    :: atomic { reaches_redis[me] && batch[me] > 0 -> batch[me]--; call() }
#ifdef PLANT_GET_THEN_SET
    :: atomic { reaches_redis[me] && batch[me] == 0 && granted_for == 0 -> has_read[me] = true }
    :: atomic { has_read[me] -> has_read[me] = false; grant(me) }
#else
    :: atomic { reaches_redis[me] && batch[me] == 0 && granted_for == 0 -> grant(me) }
#endif
    :: atomic { !reaches_redis[me] && alone_for[me] == 0 -> alone_for[me] = ALONE_INTERVAL; call() }
    od
}

inline pass(me) {
#ifndef PLANT_NO_LAPSE
    if
    :: batch_left[me] == 0 -> batch[me] = 0
    :: else -> batch_left[me]--
    fi;
#endif
    alone_for[me] = (alone_for[me] > 0 -> alone_for[me] - 1 : 0)
}

proctype Clock() {
end_clock:
    do
    :: atomic {
        pass(0); pass(1);
        granted_for = (granted_for > 0 -> granted_for - 1 : 0);
        calls[5] = calls[4]; calls[4] = calls[3]; calls[3] = calls[2]; calls[2] = calls[1]; calls[1] = calls[0];
        calls[0] = 0;
        if
        :: !reaches_redis[0] || !reaches_redis[1] -> disturbed = WINDOW + LAPSE
        :: else -> disturbed = (disturbed > 0 -> disturbed - 1 : 0)
        fi
    }
    od
}

/* What a replica was granted before it lost Redis, it does not use alone. */
inline lose(me) { reaches_redis[me] = false; batch[me] = 0; has_read[me] = false; disturbed = WINDOW + LAPSE }

proctype Faults() {
end_faults:
    do
    :: atomic { reaches_redis[0] -> lose(0) }
    :: atomic { reaches_redis[1] -> lose(1) }
    :: atomic { !reaches_redis[0] -> reaches_redis[0] = true }
    :: atomic { !reaches_redis[1] -> reaches_redis[1] = true }
    :: atomic {
        !reaches_redis[0] && !reaches_redis[1] && !was_wiped -> was_wiped = true;
#ifdef PLANT_EMPTY_GRANTS
        granted_for = 0;
#else
        granted_for = BATCH * INTERVAL;     /* an empty Redis grants as if it had just done so */
#endif
        reaches_redis[0] = true; reaches_redis[1] = true
    }
    od
}

init {
    atomic {
        run Replica(0); run Replica(1); run Clock();
#ifndef WHOLE_REDIS
        run Faults()
#endif
    }
}
