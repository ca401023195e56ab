/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* The C API in one page: runs a program once, every input all ones at its smallest shape, and
   prints the first element of each output of type f32.

       cc -std=c99 Example.c -Iinclude -Llib -lciuic && ./a.out model.ciuic */
#include <ciuic/ciuic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_PORTS = 16, MOST_SYMBOLS = 16, MOST_DIMS = 8 };

/* Every function that can fail returns NULL, or a status that says what to do. */
static void check(ciuic_status *status) {
  if (status) {
    fprintf(stderr, "%s [%s]\n", ciuic_status_message(status), ciuic_status_code(status));
    exit(ciuic_status_get_class(status));
  }
}

/* An array of one port at the shape that these values of the symbols give it. */
static void *make_array(const ciuic_program *program, ciuic_direction direction, uint32_t index,
                        const int64_t *symbols, ciuic_port_info *port, int64_t *dims,
                        size_t *bytes) {
  port->struct_size = sizeof *port;
  check(ciuic_entry_get_port(program, 0, direction, index, port));
  if (port->rank > MOST_DIMS) {
    fprintf(stderr, "'%s' has more than %d dims\n", port->name, MOST_DIMS);
    exit(1);
  }
  check(ciuic_entry_get_port_dims(program, 0, direction, index, symbols, dims));
  *bytes = ciuic_dtype_bytes(port->dtype);
  for (uint32_t d = 0; d < port->rank; ++d) {
    *bytes *= (size_t)dims[d];
  }
  return calloc(*bytes ? *bytes : 1, 1);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: Example PROGRAM\n");
    return 2;
  }
  /* 1. The program, a device of the kind it is for, and a session: all memory that runs need. */
  ciuic_program *program;
  ciuic_device *device;
  ciuic_session *session;
  ciuic_program_info info = {.struct_size = sizeof info};
  check(ciuic_program_load_path(argv[1], &program));
  check(ciuic_program_get_info(program, &info));
  check(ciuic_device_open(info.device_kind, &device));
  check(ciuic_session_create(program, device, NULL, &session));

  /* 2. Shapes follow from the entry's symbols: here each has its lower bound, or 1. */
  ciuic_entry_info entry = {.struct_size = sizeof entry};
  int64_t symbols[MOST_SYMBOLS];
  check(ciuic_entry_get_info(program, 0, &entry));
  if (entry.symbols > MOST_SYMBOLS || entry.inputs > MOST_PORTS || entry.outputs > MOST_PORTS) {
    fprintf(stderr, "more symbols or ports than this example has room for\n");
    return 1;
  }
  for (uint32_t i = 0; i < entry.symbols; ++i) {
    ciuic_symbol_info symbol = {.struct_size = sizeof symbol};
    check(ciuic_entry_get_symbol(program, 0, i, &symbol));
    symbols[i] = symbol.lower > 1 ? symbol.lower : symbol.upper < 1 ? symbol.upper : 1;
  }

  /* 3. Arrays are lent to the session until others are. */
  void *arrays[2 * MOST_PORTS];
  int64_t dims[MOST_DIMS];
  size_t bytes;
  for (uint32_t i = 0; i < entry.inputs; ++i) {
    ciuic_port_info port;
    arrays[i] = make_array(program, CIUIC_PORT_INPUT, i, symbols, &port, dims, &bytes);
    if (port.dtype == CIUIC_F32) {
      for (size_t k = 0; k < bytes / sizeof(float); ++k) {
        ((float *)arrays[i])[k] = 1;
      }
    }
    check(ciuic_session_bind_input(session, port.name, port.dtype, port.rank, dims, arrays[i]));
  }
  for (uint32_t i = 0; i < entry.outputs; ++i) {
    ciuic_port_info port;
    void *array = make_array(program, CIUIC_PORT_OUTPUT, i, symbols, &port, dims, &bytes);
    arrays[entry.inputs + i] = array;
    check(ciuic_session_bind_output(session, port.name, array, bytes));
  }

  /* 4. A run, and what it took. */
  ciuic_run_stats stats = {.struct_size = sizeof stats};
  check(ciuic_session_run(session, entry.name));
  check(ciuic_session_get_stats(session, &stats));
  for (uint32_t i = 0; i < entry.outputs; ++i) {
    ciuic_port_info port = {.struct_size = sizeof port};
    check(ciuic_entry_get_port(program, 0, CIUIC_PORT_OUTPUT, i, &port));
    if (port.dtype == CIUIC_F32) {
      printf("%s: %.4f, ...\n", port.name, *(float *)arrays[entry.inputs + i]);
    }
  }
  printf("%lld bytes of the device, of %lld allowed\n", (long long)stats.peak_device_bytes,
         (long long)info.budget_bytes);

  ciuic_session_destroy(session);
  ciuic_device_close(device);
  ciuic_program_destroy(program);
  for (uint32_t i = 0; i < entry.inputs + entry.outputs; ++i) {
    free(arrays[i]);
  }
  return 0;
}
