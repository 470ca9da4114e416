<?php

// Promises: judges an access token from the bundle alone, as relay/core/bundle.py defines a good token.
// Leans on: Bundle and SealedToken; time, secret and member id are arguments.
// Must never: do I/O, and never weigh expiry or revocation before the seal has been verified.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class Validator
{
    public static function judge(
        string $token,
        Claims $claims,
        Bundle $bundle,
        string $clientSecret,
        string $memberId,
        int $now
    ): Verdict {
        if (!$bundle->hasKey($claims->keyId)) {
            return Verdict::NoKey;
        }
        $key = $bundle->sealingKey($claims->keyId, $clientSecret, $memberId);
        if ($key === null) {
            return Verdict::NoKey;
        }
        if (!SealedToken::verify($token, $key)) {
            return Verdict::Forged;
        }
        if ($claims->expires <= $now) {
            return Verdict::Expired;
        }
        $app = $bundle->app($claims->appNumber);
        if (
            $claims->expires > $bundle->keyEnds($claims->keyId)
            || $app === null || $app[3] !== 1
            || $bundle->revokes($claims)
        ) {
            return Verdict::Revoked;
        }
        return $claims->hasStoredParameters ? Verdict::Incomplete : Verdict::Good;
    }

    /**
     * What the stock validator wants to know of a token (kernel: Auth::check).
     *
     * Status is left out on purpose: with it the portal would write its app row.
     *
     * @return array<string, mixed>
     */
    public static function tokenInfo(string $token, Claims $claims, Bundle $bundle): array
    {
        $app = $bundle->app($claims->appNumber);
        $parameters = [];
        if ($claims->eventSession !== null) {
            $parameters['EVENT_SESSION'] = $claims->eventSession;
        }
        if ($claims->tzOffsetMin !== null) {
            $parameters['TZ_OFFSET'] = $claims->tzOffsetMin * 60;
        }
        return [
            'access_token' => $token,
            'client_id' => $app[0] ?? '',
            'scope' => $app[1] ?? '',
            'expires' => $claims->expires,
            'user_id' => $claims->userId,
            'parameters' => $parameters,
        ];
    }
}
