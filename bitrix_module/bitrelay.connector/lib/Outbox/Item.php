<?php

// Promises: one captured event in the very bytes the stock client would send, plus what sending it needs.
// Leans on: http_build_query for the bytes; the result is ASCII whatever the event holds.
// Must never: change, drop or retype anything of the event itself.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrelay\Connector\Module;
use Bitrelay\Connector\Relay\RelayClient;

final class Item
{
    private const INDEX_HOLE = 'QUERY%5B0%5D';

    /** @param array<string, mixed> $meta empty, or what GivenAuth needs to finish the auth block when sending */
    public function __construct(
        public readonly string $itemId,
        public readonly array $meta,
        public readonly string $payload,
        public readonly int $id = 0,
    ) {
    }

    /** @param array<string, mixed> $queryItem one item of ProviderInterface::send */
    public static function capture(array $queryItem): self
    {
        return self::make($queryItem, []);
    }

    /**
     * An item whose auth block is filled in only when it is sent (mode "chosen handlers").
     *
     * @param array<string, mixed> $queryItem
     * @param string $endpoint the portal's REST address as seen now; from cron it would be unknown
     */
    public static function captureForGivenAuth(array $queryItem, string $endpoint): self
    {
        $meta = [
            'client_id' => $queryItem['client_id'] ?? null,
            'additional' => is_array($queryItem['additional'] ?? null) ? $queryItem['additional'] : [],
            'auth' => is_array($queryItem['auth'] ?? null) ? $queryItem['auth'] : [],
            'endpoint' => $endpoint,
        ];
        unset($queryItem['auth']);
        return self::make($queryItem + [Module::AUTH_KEY => 'given'], $meta);
    }

    public function needsAuth(): bool
    {
        return $this->meta !== [];
    }

    /**
     * This item as part of a batch.
     *
     * @param array<string, mixed> $auth finished auth block, for an item that needs one
     */
    public function body(int $index, array $auth = []): string
    {
        $payload = $auth === []
            ? $this->payload
            : $this->payload . '&' . RelayClient::form(['QUERY' => [['auth' => $auth]]]);
        // A raw ampersand only ever separates pairs, so the index can be set without parsing.
        return (string)preg_replace(
            '/(^|&)' . self::INDEX_HOLE . '/',
            '${1}QUERY%5B' . $index . '%5D',
            $payload
        );
    }

    /**
     * @param array<string, mixed> $queryItem
     * @param array<string, mixed> $meta
     */
    private static function make(array $queryItem, array $meta): self
    {
        $itemId = bin2hex(random_bytes(16));
        $queryItem[Module::ITEM_ID_KEY] = $itemId;
        return new self($itemId, $meta, RelayClient::form(['QUERY' => [$queryItem]]));
    }
}
