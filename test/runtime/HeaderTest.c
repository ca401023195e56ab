/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* The public header is C99, pedantically, and its functions link from C. */
#include "ciuic/ciuic.h"

#include <stdio.h>

int main(void) {
  ciuic_program *program = NULL;
  ciuic_status *status = ciuic_program_load_path("", &program);
  int good = ciuic_status_get_class(status) == CIUIC_ENVIRONMENT && program == NULL;
  printf("%s: %s\n", ciuic_status_code(status), ciuic_status_message(status));
  ciuic_status_free(status);
  return good ? 0 : 1;
}
