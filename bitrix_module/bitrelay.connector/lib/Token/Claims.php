<?php

// Promises: what a sealed access token says, before anybody has verified it.
// Leans on: nothing.
// Must never: be trusted without SealedToken::verify.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class Claims
{
    public function __construct(
        /** unix seconds */
        public readonly int $expires,
        /** 0-255 */
        public readonly int $keyId,
        public readonly int $userId,
        public readonly int $appNumber,
        /** 12 lower-case hex digits, most significant first */
        public readonly string $serial,
        /** 0-15, or null when absent */
        public readonly ?int $eventSession,
        /** minutes, or null when absent */
        public readonly ?int $tzOffsetMin,
        /** more parameters are kept by the relay under the serial */
        public readonly bool $hasStoredParameters,
    ) {
    }
}
