/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* The runtime's C API: load a program, open a session on a device, run.

   Status. Every function that can fail returns a ciuic_status *: NULL is success; anything else is
   owned by the caller and freed with ciuic_status_free. Results come last, through out_ pointers,
   and are written on success only.
   Ownership. *_create, *_load_* and *_open make objects the caller destroys; destroying NULL is
   allowed. A session keeps its program alive: the program handle may be destroyed first. A device
   must outlive its sessions. Strings and structs that point into an object live as long as it.
   Threads. A program and a device may be used from any number of threads. A session serves one
   thread at a time, and one run at a time: a call during a run is refused with class "busy".
   ciuic_session_cancel alone may be called from any thread at any time, short of destruction.
   Structs start with struct_size, which the caller sets to sizeof of the struct as it was compiled:
   a library of another age reads or writes the fields that both know. In options, zero in every
   other field is the default.
   Units. Names end in them: bytes, ms (10^-3 s), us (10^-6 s), gbps (10^9 bytes/s). Shapes are in
   elements, arrays contiguous and row-major, little-endian. Names are UTF-8.
   Argument errors are of class usage: "usage.null" where a pointer that must be there is NULL,
   "usage.struct-size" where struct_size was not set. C99; no exception leaves the library. */
#ifndef CIUIC_CIUIC_H
#define CIUIC_CIUIC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CIUIC_VERSION_MAJOR 0
#define CIUIC_VERSION_MINOR 1
#define CIUIC_API __attribute__((visibility("default")))
#define CIUIC_MUST_USE __attribute__((warn_unused_result))

typedef struct ciuic_status ciuic_status;
typedef struct ciuic_program ciuic_program;
typedef struct ciuic_device ciuic_device;
typedef struct ciuic_session ciuic_session;

/* The class says who has to act; ciuic-run ends with it as its exit status. */
typedef enum ciuic_status_class {
  CIUIC_OK = 0,
  CIUIC_USAGE = 2,       /* an argument is wrong */
  CIUIC_INPUT = 3,       /* a program file is damaged or breaks a rule of its format */
  CIUIC_UNSUPPORTED = 4, /* a program of another format version, or for another machine */
  CIUIC_INFEASIBLE = 5,  /* the budget is too small */
  CIUIC_ENVIRONMENT = 6, /* a file, a disk, memory or the device failed */
  CIUIC_SHAPE = 7,       /* a shape or dtype fits no entry */
  CIUIC_STATE = 8,       /* a state has another length than the run needs, or is full */
  CIUIC_MISMATCH = 9,    /* ciuic-run alone: values differ from those expected */
  CIUIC_CANCELLED = 10,
  CIUIC_BUSY = 11,    /* a session runs one pass at a time */
  CIUIC_INTERNAL = 63 /* a defect of the runtime */
} ciuic_status_class;

/* Accessors of a status take NULL too, which is success: class CIUIC_OK, empty texts. The texts
   live as long as the status. */
CIUIC_API ciuic_status_class ciuic_status_get_class(const ciuic_status *status);
/* "usage", "input", …: a constant. */
CIUIC_API const char *ciuic_status_class_name(ciuic_status_class c);
/* Stable within a major version: "format.E10", "shape.bound", "budget.below-plan", ... */
CIUIC_API const char *ciuic_status_code(const ciuic_status *status);
/* One or more lines for people: what is wrong, where, the numbers, what to do. */
CIUIC_API const char *ciuic_status_message(const ciuic_status *status);
/* The least budget, in bytes, that would do, where the class is infeasible; 0 elsewhere. */
CIUIC_API int64_t ciuic_status_nearest_budget(const ciuic_status *status);
CIUIC_API void ciuic_status_free(ciuic_status *status);

/* ---- programs ------------------------------------------------------------------------------- */

/* Reads and checks everything but the weights, which are checked as a session reads them. Fails
   with class input for a damaged file, unsupported for a format version that this library does not
   know, environment where the file cannot be read. */
CIUIC_API ciuic_status *ciuic_program_load_path(const char *path,
                                                ciuic_program **out_program) CIUIC_MUST_USE;
/* Duplicates the descriptor. The file must stay as it is while sessions are created. */
CIUIC_API ciuic_status *ciuic_program_load_fd(int fd, ciuic_program **out_program) CIUIC_MUST_USE;
/* Lends the bytes until the program and all its sessions are gone. */
CIUIC_API ciuic_status *ciuic_program_load_memory(const void *data, size_t bytes,
                                                  ciuic_program **out_program) CIUIC_MUST_USE;
CIUIC_API void ciuic_program_destroy(ciuic_program *program);

typedef enum ciuic_dtype {
  CIUIC_F32 = 1,
  CIUIC_F16 = 2,
  CIUIC_BF16 = 3,
  CIUIC_F64 = 4,
  CIUIC_I64 = 5,
  CIUIC_I32 = 6,
  CIUIC_I16 = 7,
  CIUIC_I8 = 8,
  CIUIC_U64 = 9,
  CIUIC_U32 = 10,
  CIUIC_U16 = 11,
  CIUIC_U8 = 12,
  CIUIC_BOOL = 13
} ciuic_dtype;
/* "f32", "bf16", "bool", …: a constant; "?" for a dtype that does not exist. */
CIUIC_API const char *ciuic_dtype_name(ciuic_dtype dtype);
/* 0 for a dtype that does not exist. */
CIUIC_API size_t ciuic_dtype_bytes(ciuic_dtype dtype);

typedef struct ciuic_program_info {
  size_t struct_size;
  const char *device_kind; /* "host" or "cuda" */
  const char *target;      /* "x86-64", or architectures: "sm_80,sm_90" */
  const char *producer;    /* the compiler and its version */
  const char *profile;     /* the device profile it was planned with */
  const char *quality;     /* "exact", "near", "balanced" or "small" */
  uint64_t model_hash;     /* of the plan: equal for programs that take the same steps */
  uint64_t profile_hash;
  int64_t budget_bytes;  /* what --vram granted: arena and reserve together fit */
  int64_t reserve_bytes; /* of it, for the device's context, code and libraries */
  int64_t arena_bytes;   /* the one device allocation of a session */
  int64_t host_bytes;    /* host memory that a session holds beside it */
  int64_t weights_bytes; /* as packed; resident and streamed weights are parts of it */
  int64_t resident_bytes, streamed_bytes;
  int64_t state_bytes; /* part of the arena */
  uint32_t entries, states, kernels, weights;
} ciuic_program_info;
CIUIC_API ciuic_status *ciuic_program_get_info(const ciuic_program *program,
                                               ciuic_program_info *out_info) CIUIC_MUST_USE;

/* An entry is one shape profile of the model: symbolic dims with bounds, for which its memory and
   its steps were planned. `entry` counts from 0 in order of declaration, everywhere below. */
typedef struct ciuic_entry_info {
  size_t struct_size;
  const char *name;
  uint32_t symbols, inputs, outputs, steps;
  int64_t peak_bytes;    /* of the arena while this entry runs */
  double predicted_ms;   /* of a run at the upper bounds of all symbols */
  double lower_bound_ms; /* no schedule under the same budget and profile is predicted below it */
  double gap;            /* (predicted_ms - lower_bound_ms) / lower_bound_ms */
} ciuic_entry_info;
CIUIC_API ciuic_status *ciuic_entry_get_info(const ciuic_program *program, uint32_t entry,
                                             ciuic_entry_info *out_info) CIUIC_MUST_USE;

typedef struct ciuic_symbol_info {
  size_t struct_size;
  const char *name;     /* of the dim, as in the model or INPUT.AXIS */
  int64_t lower, upper; /* both allowed */
  int32_t input;        /* the input whose axis gives its value; -1: none */
  uint32_t axis;
  int32_t state; /* the state whose length is its value; -1: none */
} ciuic_symbol_info;
CIUIC_API ciuic_status *ciuic_entry_get_symbol(const ciuic_program *program, uint32_t entry,
                                               uint32_t symbol,
                                               ciuic_symbol_info *out_info) CIUIC_MUST_USE;

typedef enum ciuic_direction { CIUIC_PORT_INPUT = 0, CIUIC_PORT_OUTPUT = 1 } ciuic_direction;
typedef struct ciuic_port_info {
  size_t struct_size;
  const char *name; /* as in the model */
  ciuic_dtype dtype;
  uint32_t rank;
  int64_t bytes; /* at the upper bounds: what a buffer of an output must hold at most */
} ciuic_port_info;
CIUIC_API ciuic_status *ciuic_entry_get_port(const ciuic_program *program, uint32_t entry,
                                             ciuic_direction direction, uint32_t index,
                                             ciuic_port_info *out_info) CIUIC_MUST_USE;
/* The dims of a port where the entry's symbols have these values (one each, in their order; those
   that come from neither an input nor a state are computed). out_dims holds `rank` numbers. Fails
   with class shape where a value is beyond its bounds. */
CIUIC_API ciuic_status *ciuic_entry_get_port_dims(const ciuic_program *program, uint32_t entry,
                                                  ciuic_direction direction, uint32_t index,
                                                  const int64_t *symbols,
                                                  int64_t *out_dims) CIUIC_MUST_USE;

/* ---- devices -------------------------------------------------------------------------------- */

/* "host"; "cuda" or "cuda:N": the first GPU, or the one with index N from 0, through the driver
   that is there. Class environment where there is no such device. */
CIUIC_API ciuic_status *ciuic_device_open(const char *name,
                                          ciuic_device **out_device) CIUIC_MUST_USE;
CIUIC_API void ciuic_device_close(ciuic_device *device);
typedef struct ciuic_device_info {
  size_t struct_size;
  const char *kind; /* "host" or "cuda" */
  const char *name; /* the machine's or card's */
  int64_t total_bytes, free_bytes;
  int64_t process_bytes; /* what this process holds now, as the system sees it; -1: unknown */
} ciuic_device_info;
CIUIC_API ciuic_status *ciuic_device_get_info(const ciuic_device *device,
                                              ciuic_device_info *out_info) CIUIC_MUST_USE;

/* ---- sessions ------------------------------------------------------------------------------- */

typedef struct ciuic_session_options {
  size_t struct_size;
  int64_t budget_bytes;  /* 0: the program's own. Smaller than planned is of class infeasible;
                            larger changes nothing. */
  int32_t threads;       /* host device: compute threads; 0: one a CPU */
  double link_gbps;      /* host device: 10^9 bytes/s between the tiers; 0: as fast as it goes */
  int64_t pinned_bytes;  /* cuda: the most host memory to pin; 0: no limit. What lies beyond is
                            copied through a small ring of pinned buffers. */
  int32_t trace;         /* cuda: 1 for a trace of each run, which then does not run as one graph.
                            The host device always has one. */
  int32_t buffered_disk; /* 1: weights on the disk are read through the page cache, by threads; 0:
                            by io_uring and past it, where the system allows that */
  double disk_gbps;      /* 10^9 bytes/s that the disk is read at, at most; 0: as fast as it goes */
} ciuic_session_options;
/* Takes all memory that runs will need and reads all weights; a damaged weight page fails here,
   one of a weight that stays on the disk when a run reads it. options may be NULL. Class
   unsupported where the program is for another kind of device or another machine, infeasible where
   the budget is below the plan's, environment where memory, the device or the file fails. */
CIUIC_API ciuic_status *ciuic_session_create(ciuic_program *program, ciuic_device *device,
                                             const ciuic_session_options *options,
                                             ciuic_session **out_session) CIUIC_MUST_USE;
/* How the session reads weights that are on the disk, and why not otherwise: "io_uring, direct",
   "threads (io_uring: Operation not permitted), direct". Empty where none are. The session owns
   it. */
CIUIC_API const char *ciuic_session_disk_mode(const ciuic_session *session);
/* Cancels a run in progress and waits for it. */
CIUIC_API void ciuic_session_destroy(ciuic_session *session);

/* Lends a contiguous row-major array until another is bound or the session ends; it is read during
   runs. Its shape chooses the entry. data may be NULL for an array without elements. `dims` is
   copied. A name that the program does not have fails here, a dtype or shape that fits no entry
   when a run starts. */
CIUIC_API ciuic_status *ciuic_session_bind_input(ciuic_session *session, const char *name,
                                                 ciuic_dtype dtype, uint32_t rank,
                                                 const int64_t *dims,
                                                 const void *data) CIUIC_MUST_USE;
/* Lends a buffer of `capacity` bytes; a run writes its output there. An output without a buffer, or
   with NULL, is not copied out. A run whose output is larger than its buffer is refused. */
CIUIC_API ciuic_status *ciuic_session_bind_output(ciuic_session *session, const char *name,
                                                  void *data, size_t capacity) CIUIC_MUST_USE;

/* Runs an entry; NULL chooses the admissible one with the smallest product of bounds, the first of
   equals. Returns when the outputs are there and all copies have ended. Allocates nothing. Class
   usage where an input is not bound, shape or state where the entry does not hold what is bound. */
CIUIC_API ciuic_status *ciuic_session_run(ciuic_session *session, const char *entry) CIUIC_MUST_USE;
/* The index of the entry that ciuic_session_run(session, NULL) would run now. */
CIUIC_API ciuic_status *ciuic_session_select_entry(ciuic_session *session,
                                                   uint32_t *out_entry) CIUIC_MUST_USE;
/* Starts a run on a thread of the session; its result comes from ciuic_session_wait, which must be
   called once for each. */
CIUIC_API ciuic_status *ciuic_session_run_async(ciuic_session *session,
                                                const char *entry) CIUIC_MUST_USE;
CIUIC_API ciuic_status *ciuic_session_wait(ciuic_session *session) CIUIC_MUST_USE;
/* Ends the run in progress within one step or one piece of a copy; it then fails with class
   cancelled. States that grow keep the length they had; states replaced as a whole must be reset.
 */
CIUIC_API void ciuic_session_cancel(ciuic_session *session);

/* Dims of an output of the last run that ended well. *inout_rank: room in out_dims, then the rank;
   "usage.rank" where the room is too small. */
CIUIC_API ciuic_status *ciuic_session_get_output_dims(const ciuic_session *session,
                                                      const char *name, uint32_t *inout_rank,
                                                      int64_t *out_dims) CIUIC_MUST_USE;

typedef struct ciuic_run_stats {
  size_t struct_size;
  uint32_t entry;                           /* that ran */
  double latency_ms;                        /* from the first input's copy to the last output's */
  double stall_ms;                          /* of it, compute waited for copies; -1: not measured
                                               (cuda, without trace) */
  int64_t h2d_bytes, d2h_bytes, disk_bytes; /* inputs, outputs, weights and spills of this run */
  int64_t peak_device_bytes; /* arena as mapped, plus reserve; cuda: plus what context, kernels and
                                libraries were measured to take */
  int prologue;              /* the slots had to be filled first */
  int64_t unpinned_host_bytes; /* cuda: of the host tier, what the system did not pin; it is copied
                                  at a fraction of the link's rate */
} ciuic_run_stats;
/* Of the last run; latency_ms is 0 where it did not end well. */
CIUIC_API ciuic_status *ciuic_session_get_stats(const ciuic_session *session,
                                                ciuic_run_stats *out_stats) CIUIC_MUST_USE;

typedef struct ciuic_trace_event {
  size_t struct_size;
  const char *name;                        /* of the step */
  const char *stream;                      /* "compute", "h2d", "d2h" */
  double begin_us, end_us;                 /* since the start of the run */
  double predicted_begin_us, predicted_us; /* what the plan said */
} ciuic_trace_event;
/* One event a step of the last run that ended well, in the order of the steps; 0 where there was
   none, or on cuda without the option `trace`. */
CIUIC_API uint32_t ciuic_session_trace_size(const ciuic_session *session);
CIUIC_API ciuic_status *ciuic_session_get_trace_event(const ciuic_session *session, uint32_t index,
                                                      ciuic_trace_event *out_event) CIUIC_MUST_USE;

/* ---- states --------------------------------------------------------------------------------- */
/* A state is an output that continues an input, such as a KV cache: memory of the session that
   starts at length 0; a run advances it. Callers see contiguous arrays at the present length. */

typedef struct ciuic_state_info {
  size_t struct_size;
  const char *name, *input, *output; /* input and output are the names in the model */
  ciuic_dtype dtype;
  uint32_t rank;
  const int64_t *capacity; /* `rank` numbers: the shape at its greatest length */
  int32_t grow_axis;       /* -1: replaced as a whole by a run */
} ciuic_state_info;
/* `state` counts from 0, everywhere below. */
CIUIC_API ciuic_status *ciuic_program_get_state(const ciuic_program *program, uint32_t state,
                                                ciuic_state_info *out_info) CIUIC_MUST_USE;
CIUIC_API ciuic_status *ciuic_session_state_length(ciuic_session *session, uint32_t state,
                                                   int64_t *out_length) CIUIC_MUST_USE;
/* Bytes of a contiguous copy at a length, 0 to the capacity along grow_axis. */
CIUIC_API ciuic_status *ciuic_session_state_bytes(ciuic_session *session, uint32_t state,
                                                  int64_t length, size_t *out_bytes) CIUIC_MUST_USE;
/* Back to length 0, or to zeros where the state does not grow. */
CIUIC_API ciuic_status *ciuic_session_state_reset(ciuic_session *session,
                                                  uint32_t state) CIUIC_MUST_USE;
/* Copies the state out at its present length; `bytes` must be those of that length. */
CIUIC_API ciuic_status *ciuic_session_state_read(ciuic_session *session, uint32_t state, void *data,
                                                 size_t bytes) CIUIC_MUST_USE;
/* Sets contents and length; `bytes` must be those of that length. */
CIUIC_API ciuic_status *ciuic_session_state_write(ciuic_session *session, uint32_t state,
                                                  const void *data, size_t bytes,
                                                  int64_t length) CIUIC_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
