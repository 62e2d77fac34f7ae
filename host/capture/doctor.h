/* What this machine has for capturing, and the command that mends what is missing. */
#ifndef MR_CAPTURE_DOCTOR_H
#define MR_CAPTURE_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

/* Looks at rights, interfaces, hugepages and network cards; a line each, and below it, where
 * something is missing, the command. Changes nothing. True: live capture from the kernel's
 * interfaces is possible. */
bool mr_doctor_capture(FILE *to);

#endif
