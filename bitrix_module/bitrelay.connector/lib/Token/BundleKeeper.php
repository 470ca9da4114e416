<?php

// Promises: the bundle is asked for often enough that a revocation bites within a minute.
// Leans on: RelayClient, Backoff and a database lock, so that one process asks and the others go on.
// Must never: replace a believed bundle by one that does not verify, or make a visitor wait twice.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Portal\State;
use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrix\Main\DB\Connection;

final class BundleKeeper
{
    /** Older than this: renew after the answer has gone out. */
    public const SOON_S = 20;
    /** Older than this: renew before the answer, once. With BundleStore::SYNC_S this stays under a minute. */
    public const NOW_S = 40;
    /** A key nobody knows makes the keeper look, but not for every forged token. */
    private const FORCED_EVERY_S = 10;

    private const LOCK = 'bitrelay_bundle';
    private const JWKS = 'jwks';
    private const FORCED = 'bundle_forced';

    public function __construct(
        private readonly RelayClient $client,
        private readonly BundleStore $store,
        private readonly State $state,
        private readonly Backoff $backoff,
        private readonly Connection $connection,
        private readonly string $issuer,
    ) {
    }

    /** @return string '' when the relay confirmed or renewed the bundle, else a plain phrase */
    public function renew(string $memberId, int $now): string
    {
        if (!$this->backoff->allows($now)) {
            return 'waiting after a failure';
        }
        if (!$this->connection->lock(self::LOCK, 0)) {
            return 'another process is at it';
        }
        try {
            return $this->ask($memberId, $now);
        } finally {
            $this->connection->unlock(self::LOCK);
        }
    }

    /** The same, for a key that the bundle does not have, at most once in FORCED_EVERY_S. */
    public function renewForUnknownKey(string $memberId, int $now): void
    {
        $last = $this->state->read(self::FORCED);
        if ($last === null || abs($now - $last['updated_at']) >= self::FORCED_EVERY_S) {
            $this->state->write(self::FORCED, (string)$now, $now);
            $this->renew($memberId, $now);
        }
    }

    private function ask(string $memberId, int $now): string
    {
        $etag = $this->store->etag();
        $answer = $this->client->call('relay.bundle', $etag === '' ? [] : ['ETAG' => $etag]);
        if (!$answer->succeeded()) {
            return $this->failed($answer, $now);
        }
        $this->backoff->succeeded($now);
        $result = $answer->result();
        if (($result['not_modified'] ?? false) === true && $etag !== '') {
            $this->store->confirm($now);
            return '';
        }
        return $this->accept((string)($result['bundle'] ?? ''), (string)($result['etag'] ?? ''), $memberId, $now);
    }

    private function accept(string $jws, string $etag, string $memberId, int $now): string
    {
        $jwks = $this->state->readArray(self::JWKS);
        try {
            try {
                $claims = BundleJws::open($jws, $jwks, $this->issuer, $memberId, $now);
            } catch (BundleRefused $refused) {
                if (!$refused->unknownKey) {
                    throw $refused;
                }
                $jwks = $this->client->get('/.well-known/jwks.json')->document();
                $claims = BundleJws::open($jws, $jwks, $this->issuer, $memberId, $now);
                $this->state->writeArray(self::JWKS, $jwks, $now);
            }
        } catch (BundleRefused $refused) {
            return 'bundle refused: ' . $refused->getMessage();
        }
        $this->store->replace($claims, $etag, $now);
        return '';
    }

    private function failed(RelayAnswer $answer, int $now): string
    {
        // A refusal in JSON came from a relay that is up: it must not silence the event queue.
        if (!$answer->arrived()) {
            $this->backoff->failed($now, $answer->trouble());
        }
        return $answer->trouble();
    }
}
