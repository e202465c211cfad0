/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Status codes and error reports of simgraft.
 *
 * Every function that can fail returns an sg_status and, through an optional sg_error, says in words
 * which argument was wrong, what was expected and what came. The library never prints, aborts or exits.
 * The numbers are pinned: they may be stored and compared across versions.
 */
#ifndef SIMGRAFT_STATUS_H
#define SIMGRAFT_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SG_API __attribute__((visibility("default")))
#define SG_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define SG_API
#define SG_PRINTF(text, first)
#endif

/* X(name, number, Python exception, text). A Python exception written "New(Base)" is a class simgraft defines;
 * the exception map of the Python package is generated from this list, so there is no second copy to keep. */
#define SG_STATUS_LIST(X)                                                                                   \
    X(SG_OK, 0, "", "success")                                                                              \
    X(SG_ERR_MEMORY, 1, "MemoryError", "memory could not be allocated")                                     \
    X(SG_ERR_VALUE, 2, "ValueError", "an argument has a value that is not allowed")                         \
    X(SG_ERR_TYPE, 3, "TypeError", "an argument has the wrong type")                                        \
    X(SG_ERR_SHAPE, 4, "ValueError", "an array has the wrong shape")                                        \
    X(SG_ERR_DOMAIN, 5, "DomainError(ValueError)", "a value lies outside the valid range")                  \
    X(SG_ERR_NOT_FINITE, 6, "NotFiniteError(ValueError)", "a value is NaN or infinite")                     \
    X(SG_ERR_IO, 7, "OSError", "a file could not be read or written")                                       \
    X(SG_ERR_FORMAT, 8, "FileFormatError(OSError)", "a file is not what it should be")                      \
    X(SG_ERR_CHECKSUM, 9, "ChecksumError(FileFormatError)", "the contents of a file do not match its checksum") \
    X(SG_ERR_VERSION, 10, "FileVersionError(FileFormatError)", "a file was written by a newer version")     \
    X(SG_ERR_NOT_FOUND, 11, "FileNotFoundError", "a file does not exist")                                   \
    X(SG_ERR_EXISTS, 12, "FileExistsError", "a file exists already")                                        \
    X(SG_ERR_CHANGED, 13, "DatasetChangedError(OSError)", "a data set changed while it was read")           \
    X(SG_ERR_INTERRUPTED, 14, "KeyboardInterrupt", "the call was interrupted")                              \
    X(SG_ERR_UNSUPPORTED, 15, "NotImplementedError", "this combination is not supported")                   \
    X(SG_ERR_DIVERGED, 16, "DivergedError(ArithmeticError)", "a computation produced NaN or infinity")      \
    X(SG_ERR_INTERNAL, 17, "RuntimeError", "an internal check failed; please report it")

typedef enum sg_status {
#define X(name, number, exception, text) name = number,
    SG_STATUS_LIST(X)
#undef X
} sg_status;

/* One error report. Filled on failure; untouched on success. */
typedef struct sg_error {
    sg_status status;
    char      argument[64];  /* name of the argument (or file) that is to blame, "" if none */
    char      message[512];  /* full sentence, names the argument, what was expected and what came */
} sg_error;

/* Text of a status number; "unknown status" for a number outside the list. */
SG_API const char *sg_status_text(sg_status status);

#ifdef __cplusplus
}
#endif
#endif
