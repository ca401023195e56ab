// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Linked into sanitized executables that use LLVM. LLVM's bump allocator, a template, marks memory
// as poisoned where it is compiled with AddressSanitizer (here) and never unpoisons it where it is
// not (inside the packaged libraries), so a correct program is reported. Poisoning by hand is
// therefore off; heap, stack and global checks are as they were.
extern "C" const char *__asan_default_options();
extern "C" const char *__asan_default_options() { return "allow_user_poisoning=0"; }
