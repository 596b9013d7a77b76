/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "client/cli/json_line.h"

/* "model name : Some Processor" of the first processor. */
static void read_processor(char *to, size_t n)
{
    snprintf(to, n, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return;
    }
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) == 0 &&
            colon != NULL && colon[1] == ' ') {
            snprintf(to, n, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    fclose(file);
}

void machine_read(struct machine *machine)
{
    struct utsname system;
    cpu_set_t set;
    *machine = (struct machine){.system = "unknown"};
    read_processor(machine->processor, sizeof(machine->processor));
    if (uname(&system) == 0) {
        snprintf(machine->system, sizeof(machine->system), "%.24s %.40s %.24s",
                 system.sysname, system.release, system.machine);
    }
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        machine->n_processors = CPU_COUNT(&set);
    }
}

json_t *machine_json(const struct machine *machine)
{
    json_t *object = json_object();
    json_put(&object, "processor", json_text(machine->processor));
    json_put(&object, "processors", json_integer(machine->n_processors));
    json_put(&object, "system", json_text(machine->system));
    return object;
}
