/*
 * The hooks of dlopen and dlsym: tail jumps by construction, so that the real functions see their
 * caller's return address: dlopen takes its RUNPATH from it, dlsym what RTLD_NEXT means. A compiler
 * may make a call of a tail call, and at -O0 does.
 *
 *     dlopen(file, mode):   mode & RTLD_DEEPBIND → mode = pqb_dl_mode(mode); jump on
 *     dlsym(handle, name):  name begins with "PQ", and handle is neither RTLD_DEFAULT (0) nor
 *                           RTLD_NEXT (-1) → return pqb_dl_answer(handle, name) if there is one;
 *                           jump on
 *
 * glibc's alone: without dlvsym nothing finds what is behind them.
 */
#include <features.h>

#ifdef __GLIBC__

#define RTLD_DEEPBIND 8

    .text

#if defined(__x86_64__)

#ifdef __CET__
#define ENTRY endbr64
#else
#define ENTRY
#endif

/* Both arguments saved over a call; the stack is aligned by three words after the return address. */
    .macro call_aside function
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call \function
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .endm

    .macro jump_on name
    movq pqb_dl_real_\name(%rip), %rax
    testq %rax, %rax
    jne 9f
    call_aside pqb_dl_find_\name
9:  jmp *%rax
    .endm

    .globl dlopen
    .type dlopen, @function
dlopen:
    .cfi_startproc
    ENTRY
    testl $RTLD_DEEPBIND, %esi
    je 1f
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    movl %esi, %edi
    call pqb_dl_mode
    movl %eax, %esi
    popq %rdi
    .cfi_adjust_cfa_offset -8
1:  jump_on dlopen
    .cfi_endproc
    .size dlopen, . - dlopen

    .globl dlsym
    .type dlsym, @function
dlsym:
    .cfi_startproc
    ENTRY
    leaq 1(%rdi), %rax
    cmpq $1, %rax
    jbe 1f
    cmpb $'P', (%rsi)
    jne 1f
    cmpb $'Q', 1(%rsi)
    jne 1f
    call_aside pqb_dl_answer
    testq %rax, %rax
    je 1f
    ret
1:  jump_on dlsym
    .cfi_endproc
    .size dlsym, . - dlsym

#elif defined(__aarch64__)

    .macro call_aside function
    stp x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x0, x1, [sp, #16]
    bl \function
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #32
    .cfi_adjust_cfa_offset -32
    .cfi_restore x29
    .cfi_restore x30
    .endm

    .macro jump_on name
    adrp x16, pqb_dl_real_\name
    ldr x16, [x16, #:lo12:pqb_dl_real_\name]
    cbnz x16, 9f
    call_aside pqb_dl_find_\name
9:  br x16
    .endm

    .globl dlopen
    .type dlopen, %function
dlopen:
    .cfi_startproc
    hint #34
    tbz w1, #3, 1f
    stp x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    str x0, [sp, #16]
    mov w0, w1
    bl pqb_dl_mode
    mov w1, w0
    ldr x0, [sp, #16]
    ldp x29, x30, [sp], #32
    .cfi_adjust_cfa_offset -32
    .cfi_restore x29
    .cfi_restore x30
1:  jump_on dlopen
    .cfi_endproc
    .size dlopen, . - dlopen

    .globl dlsym
    .type dlsym, %function
dlsym:
    .cfi_startproc
    hint #34
    add x16, x0, #1
    cmp x16, #1
    b.ls 1f
    ldrb w16, [x1]
    cmp w16, #'P'
    b.ne 1f
    ldrb w16, [x1, #1]
    cmp w16, #'Q'
    b.ne 1f
    call_aside pqb_dl_answer
    cbz x16, 1f
    mov x0, x16
    ret
1:  jump_on dlsym
    .cfi_endproc
    .size dlsym, . - dlsym

#else
#error "the hooks of dlopen and dlsym are written for x86-64 and aarch64"
#endif

#endif /* __GLIBC__ */

    .section .note.GNU-stack, "", %progbits
