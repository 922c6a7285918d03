/* A stand-in for libnvidia-ml.so.1: the functions that the payload calls, as nvml.h declares them.
 *
 * What they answer stands in the file that FAKE_NVML names, one property of a card a line:
 *
 *     power 0 250000 251000 !15 252000
 *
 * is the power of card 0 in milliwatts at the first, second, ... call; the last word repeats. A
 * word "!n" is NVML's error n instead of a value, "zn" an answer after n seconds, a property that is not listed is "not supported"
 * (3). "devices -" gives the number of cards, "init -" what initialising returns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, MOST_CALLS = 64 };

typedef unsigned long long u64;
typedef struct { char key[64]; int calls; } Count;

static Count counts[MOST_CALLS];

static int calls_before(const char *key) {
    for (int i = 0; i < MOST_CALLS; i++) {
        if (counts[i].key[0] == 0) snprintf(counts[i].key, sizeof counts[i].key, "%s", key);
        if (strcmp(counts[i].key, key) == 0) return counts[i].calls++;
    }
    abort();
}

/* Set *value to what the plan has for this call, or return its error. */
static int planned(const char *property, const char *card, u64 *value) {
    char line[4096], key[64], *word, *last = NULL, *rest;
    snprintf(key, sizeof key, "%s %s", property, card);
    FILE *plan = fopen(getenv("FAKE_NVML"), "r");
    if (plan == NULL) abort();
    while (fgets(line, sizeof line, plan)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ' ') continue;
        fclose(plan);
        int left = calls_before(key);
        rest = line + strlen(key);
        while ((word = strtok(last == NULL ? rest : NULL, " ")) != NULL) {
            last = word;
            if (left-- == 0) break;
        }
        if (last[0] == '!') return atoi(last + 1);
        if (last[0] == 'z') sleep(atoi(last + 1));
        *value = strtoull(last, NULL, 10);
        return SUCCESS;
    }
    fclose(plan);
    return NOT_SUPPORTED;
}

int nvmlInitWithFlags(unsigned flags) {
    u64 unused;
    int code = planned("init", "-", &unused);
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    if (code == 9) return "Driver Not Loaded";
    if (code == 15) return "GPU is lost";
    return "another error";
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    u64 value = 0;
    int code = planned("devices", "-", &value);
    *count = (unsigned)value;
    return code;
}

static const char *const CARDS[] = {"0", "1", "2", "3"};

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)CARDS[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *card, char *uuid, unsigned length) {
    snprintf(uuid, length, "GPU-%s", (char *)card);
    return SUCCESS;
}

typedef struct { unsigned gpu, memory; } Utilization;

int nvmlDeviceGetUtilizationRates(void *card, Utilization *rates) {
    u64 value = 0;
    int code = planned("utilisation", card, &value);
    rates->gpu = (unsigned)value;
    return code;
}

typedef struct { u64 total, free, used; } Memory;

int nvmlDeviceGetMemoryInfo(void *card, Memory *memory) {
    return planned("memory", card, &memory->used);
}

static int as_unsigned(const char *property, void *card, unsigned *found) {
    u64 value = 0;
    int code = planned(property, card, &value);
    *found = (unsigned)value;
    return code;
}

int nvmlDeviceGetPowerUsage(void *card, unsigned *milliwatts) {
    return as_unsigned("power", card, milliwatts);
}

#ifdef OLD_DRIVER
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius) {
    return as_unsigned("temperature", card, celsius);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *card, u64 *bits) {
    return planned("throttle", card, bits);
}
#else
typedef struct { unsigned version; int sensor; int temperature; } Temperature;

int nvmlDeviceGetTemperatureV(void *card, Temperature *temperature) {
    return as_unsigned("temperature", card, (unsigned *)&temperature->temperature);
}

int nvmlDeviceGetCurrentClocksEventReasons(void *card, u64 *bits) {
    return planned("throttle", card, bits);
}

int nvmlDeviceGetTotalEnergyConsumption(void *card, u64 *millijoules) {
    return planned("energy", card, millijoules);
}
#endif

int nvmlDeviceGetClockInfo(void *card, int clock, unsigned *mhz) {
    return as_unsigned(clock == 1 ? "clock_sm" : "clock_memory", card, mhz);
}

int nvmlDeviceGetVirtualizationMode(void *card, unsigned *mode) {
    return as_unsigned("virtualization", card, mode);
}

typedef struct {
    int code;
    unsigned state;
    char info[128], product[128];
    unsigned enabled;
    struct { unsigned year; unsigned short month, day, hour, min, sec; unsigned char status; } expiry;
} Feature;
typedef struct { int supported; unsigned count; Feature features[3]; } Features;

int nvmlDeviceGetGridLicensableFeatures_v4(void *card, Features *features) {
    u64 licensed = 0;
    int code = planned("licensed", card, &licensed);
    features->supported = 1;
    features->count = 1;
    features->features[0].enabled = (unsigned)licensed;
    return code;
}

typedef struct { unsigned pid; u64 used; unsigned instance, compute; } Process;

/* The plan gives one process id a call; 1 stands for the process that asks. */
int nvmlDeviceGetComputeRunningProcesses_v3(void *card, unsigned *count, Process *found) {
    u64 pid = 0;
    if (*count == 0) {
        *count = 2;
        return INSUFFICIENT_SIZE;
    }
    int code = planned("process", card, &pid);
    *count = pid == 0 ? 0 : 1;
    found[0].pid = pid == 1 ? (unsigned)getpid() : (unsigned)pid;
    return code;
}
