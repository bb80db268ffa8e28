/* The page that `serve` shows, as it stands in the tree: a string. */
    .section .rodata
    .globl pqb_serve_page
    .type pqb_serve_page, %object
pqb_serve_page:
    .incbin "shim/tool/page.html"
    .byte 0
    .size pqb_serve_page, . - pqb_serve_page
    .section .note.GNU-stack, "", %progbits
