// What the kernels are written in: runs of `lanes` floats held in one register (GCC and Clang vector types, so the
// same text becomes AVX-512, AVX2, SSE or NEON), conversion to and from memory, and threads of PyTorch's own pool.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Words __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));

struct bfloat16 {
    uint16_t bits;
};

template <class V, class T>
inline V read(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof(V));
    return value;
}

template <class V, class T>
inline void write(T* to, V value) {
    std::memcpy(to, &value, sizeof(V));
}

// Memory of type float, bfloat16 or uint8 → floats.
inline Floats load(const float* from) { return read<Floats>(from); }
inline Floats load(const bfloat16* from) {
    return (Floats)(__builtin_convertvector(read<Halves>(from), Words) << 16);
}
inline Ints load(const uint8_t* from) { return __builtin_convertvector(read<Bytes>(from), Ints); }

// Floats → memory. bfloat16 rounds to nearest, ties to even; NaN stays NaN (rounding must not carry it into infinity).
inline void store(float* to, Floats value) { write(to, value); }
inline void store(bfloat16* to, Floats value) {
#if defined(__AVX512BF16__) && defined(__AVX512F__)
    write(to, _mm512_cvtneps_pbh((__m512)value));
#else
    Words bits = (Words)value;
    Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    Words quiet = (bits >> 16) | 0x40;
    write(to, __builtin_convertvector(value == value ? rounded : quiet, Halves));
#endif
}
inline void store(uint8_t* to, Ints value) { write(to, __builtin_convertvector((Words)value, Bytes)); }

// The first `count` lanes only; what lies beyond is neither read nor written. Missing lanes are zero.
template <class T>
inline auto load_some(const T* from, long count) {
    T some[kLanes] = {};
    std::memcpy(some, from, count * sizeof(T));
    return load(some);
}
template <class T, class V>
inline void store_some(T* to, V value, long count) {
    T some[kLanes];
    store(some, value);
    std::memcpy(to, some, count * sizeof(T));
}

// One register's values, or the first `count` of them where a row ends.
template <class T>
inline auto load_up_to(const T* from, long count) {
    return count >= kLanes ? load(from) : load_some(from, count);
}
template <class T, class V>
inline void store_up_to(T* to, V value, long count) {
    if (count >= kLanes) store(to, value);
    else store_some(to, value, count);
}

// s^(−1/4): a linear guess in the exponent, then six terms of (1 − h)^(−1/4). Relative error below 4e-7.
inline Floats fourth_root_reciprocal(Floats s) {
    Floats y = (Floats)(0x4f57a000 - ((Ints)s >> 2));
    Floats square = y * y;
    Floats h = 1.0f - (s * square) * square;
    Floats terms = 0.0723f + Floats{};  // 4641/65536 and a little for the terms left out
    terms = terms * h + 663.0f / 8192;
    terms = terms * h + 195.0f / 2048;
    terms = terms * h + 15.0f / 128;
    terms = terms * h + 5.0f / 32;
    terms = terms * h + 1.0f / 4;
    return y + y * (h * terms);
}

// Runs body(first, last) on equal shares of 0 … count in PyTorch's own thread pool. Its OpenMP runtime is called by
// name, so that any compiler's code uses the pool PyTorch already has, never a second one. Shares depend on the number
// of threads; no kernel's result does.
extern "C" void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);
extern "C" int omp_get_thread_num(void);
extern "C" int omp_get_num_threads(void);

template <class Body>
void in_parallel(long count, long threads, const Body& body) {
    if (threads > count) threads = count;
    if (threads <= 1) {
        if (count > 0) body(0L, count);
        return;
    }
    struct Shared {
        const Body& body;
        long count;
    } shared{body, count};
    GOMP_parallel(
        [](void* raw) {
            const Shared& work = *static_cast<Shared*>(raw);
            long index = omp_get_thread_num(), all = omp_get_num_threads();
            long first = work.count * index / all, last = work.count * (index + 1) / all;
            if (first < last) work.body(first, last);
        },
        &shared, static_cast<unsigned>(threads), 0);
}
