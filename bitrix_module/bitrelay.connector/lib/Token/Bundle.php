<?php

// Promises: the last believed bundle, laid out for look-ups that cost next to nothing.
// Leans on: data already verified by BundleJws; the sealing keys inside are still encrypted to this portal.
// Must never: be used past its own expiry, and never hold a sealing key in the clear for storage.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class Bundle
{
    private const KEY_INFO = 'relay-bundle-keys-v1';
    private const NONCE_BYTES = 12;
    private const TAG_BYTES = 16;

    /** @var array<string, string|null> keys opened in this process; they go with it */
    private array $opened = [];

    /** @param array<string, mixed> $data as compile() made it */
    public function __construct(public readonly array $data)
    {
    }

    /**
     * Index verified claims. The result is plain arrays and scalars, fit for var_export.
     *
     * @param array<string, mixed> $claims
     * @return array<string, mixed>
     */
    public static function compile(array $claims): array
    {
        $keys = [];
        foreach ($claims['keys'] as $key) {
            if (is_array($key) && is_int($key['id'] ?? null) && is_string($key['key'] ?? null)) {
                $keys[$key['id']] = [(int)($key['nbf'] ?? 0), (int)($key['exp'] ?? 0), $key['key']];
            }
        }
        $apps = [];
        foreach ($claims['apps'] as $app) {
            if (is_array($app) && count($app) >= 5) {
                $apps[(int)$app[0]] = [(string)$app[1], (string)$app[2], (string)$app[3], (int)$app[4]];
            }
        }
        $revoked = [];
        foreach ($claims['revoked'] as $entry) {
            if (is_array($entry) && is_string($entry[0] ?? null)) {
                $revoked[$entry[0]] = (int)($entry[1] ?? 0);
            }
        }
        $through = $claims['through'];
        return [
            'iss' => rtrim((string)$claims['iss'], '/'),
            'aud' => (string)$claims['aud'],
            'iat' => (int)$claims['iat'],
            'exp' => (int)$claims['exp'],
            'keys' => $keys,
            'apps' => $apps,
            'revoked' => $revoked,
            'portal' => (int)($through['portal'] ?? 0),
            'app_marks' => array_map('intval', (array)($through['apps'] ?? [])),
            'user_marks' => array_map('intval', (array)($through['users'] ?? [])),
        ];
    }

    public function goodAt(int $now): bool
    {
        return $this->data['exp'] > $now;
    }

    public function expires(): int
    {
        return $this->data['exp'];
    }

    public function belongsTo(string $issuer, string $memberId): bool
    {
        return $this->data['iss'] === $issuer && $this->data['aud'] === $memberId;
    }

    public function hasKey(int $keyId): bool
    {
        return isset($this->data['keys'][$keyId]);
    }

    /** When the last token made with this key ends, unix seconds. */
    public function keyEnds(int $keyId): int
    {
        return $this->data['keys'][$keyId][1];
    }

    /** The sealing key in the clear, or null when the portal's secret does not open it. */
    public function sealingKey(int $keyId, string $clientSecret, string $memberId): ?string
    {
        $name = $keyId . ' ' . $memberId . ' ' . $clientSecret;
        return $this->opened[$name] ??= $this->open($keyId, $clientSecret, $memberId);
    }

    private function open(int $keyId, string $clientSecret, string $memberId): ?string
    {
        $box = Base64Url::decode($this->data['keys'][$keyId][2] ?? null);
        if ($box === null || strlen($box) <= self::NONCE_BYTES + self::TAG_BYTES || $clientSecret === '') {
            return null;
        }
        $wrap = hash_hkdf('sha256', $clientSecret, 32, self::KEY_INFO, $memberId);
        $key = openssl_decrypt(
            substr($box, self::NONCE_BYTES, -self::TAG_BYTES),
            'aes-256-gcm',
            $wrap,
            OPENSSL_RAW_DATA,
            substr($box, 0, self::NONCE_BYTES),
            substr($box, -self::TAG_BYTES),
            'relay-bundle-key:' . $keyId
        );
        return $key === false ? null : $key;
    }

    /** @return array{0: string, 1: string, 2: string, 3: int}|null client id, scope, status, active */
    public function app(int $number): ?array
    {
        return $this->data['apps'][$number] ?? null;
    }

    public function revokes(Claims $claims): bool
    {
        return isset($this->data['revoked'][$claims->serial])
            || $claims->expires <= $this->data['portal']
            || $claims->expires <= ($this->data['app_marks'][$claims->appNumber] ?? 0)
            || $claims->expires <= ($this->data['user_marks'][$claims->userId] ?? 0);
    }
}
