/* SPDX-License-Identifier: Apache-2.0
 *
 * The version of the engine and of its public headers.
 */
#ifndef MILLRACE_VERSION_H
#define MILLRACE_VERSION_H

#define MR_VERSION "0.1.0"

#endif
