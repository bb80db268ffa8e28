#include "support/draw.h"

uint64_t draw_seed;

uint64_t draw(uint64_t below)
{
    uint64_t value = draw_seed += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return (value ^ (value >> 31)) % below;
}
