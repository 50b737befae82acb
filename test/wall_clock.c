/* Copyright 2026 The segnode authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * A wall clock that jumps, for one process: preloaded, it adds the nanoseconds at the beginning of
 * the file WALL_CLOCK to CLOCK_REALTIME, whenever they change. Clocks that do not jump on a real
 * machine (CLOCK_MONOTONIC) do not here.
 *
 * A wait until some wall time ends by the time that is told here, too, as it does on a machine
 * whose clock is set: earlier after a jump forward, later after one back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* A deadline after this (1979) is one of the wall clock, not of one that counts from the start. */
#define WALL_SECONDS 300000000LL
#define SLICE (SECOND / 50)

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void)
{
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) offset = mapped;
    close(file);
}

static int64_t nanoseconds(const struct timespec *time)
{
    return time->tv_sec * SECOND + time->tv_nsec;
}

static struct timespec timespec_of(int64_t value)
{
    return (struct timespec){.tv_sec = value / SECOND, .tv_nsec = value % SECOND};
}

static int64_t true_time(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return nanoseconds(&now);
}

static int64_t told_time(void)
{
    return true_time() + (offset ? *offset : 0);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = timespec_of(told_time());
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    int64_t told = told_time();
    now->tv_sec = told / SECOND;
    now->tv_usec = told % SECOND / 1000;
    return 0;
}

time_t time(time_t *now)
{
    time_t told = told_time() / SECOND;
    if (now) *now = told;
    return told;
}

typedef int wait_function(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static wait_function *true_wait(void)
{
    static wait_function *found;
    if (!found) {
        /* x86-64 has an older one of the same name, which dlsym() might return. */
        found = (wait_function *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (!found) found = (wait_function *)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    }
    return found;
}

/* Waits a slice at a time. One that ends before the deadline is told as a wake-up without a
 * reason, which POSIX allows: the caller looks at its condition and waits again. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline)
{
    if (deadline->tv_sec < WALL_SECONDS) return true_wait()(condition, mutex, deadline);
    int64_t left = nanoseconds(deadline) - told_time();
    struct timespec end = timespec_of(true_time() + (left < SLICE ? left : SLICE));
    int result = true_wait()(condition, mutex, &end);
    return result == ETIMEDOUT && told_time() < nanoseconds(deadline) ? 0 : result;
}
