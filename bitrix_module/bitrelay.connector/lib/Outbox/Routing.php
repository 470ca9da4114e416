<?php

// Promises: which captured events go through the relay in the mode that is set.
// Leans on: Settings.
// Must never: take an event that the cloud can deliver in the two "chosen" modes.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Portal\HostList;
use Bitrelay\Connector\Settings;

final class Routing
{
    private readonly HostList $hosts;

    public function __construct(private readonly Settings $settings)
    {
        $this->hosts = new HostList($settings->hosts);
    }

    /** @param array<string, mixed> $item one item of ProviderInterface::send */
    public function isRelays(array $item): bool
    {
        if (!$this->settings->connected() || !$this->settings->outbox) {
            return false;
        }
        return match ($this->settings->mode) {
            Mode::All => true,
            Mode::Apps => in_array((string)($item['client_id'] ?? ''), $this->settings->apps, true),
            Mode::Handlers => $this->hosts->matches((string)($item['query']['QUERY_URL'] ?? '')),
            Mode::Off => false,
        };
    }

    /** Whether the auth block of these items comes from the cloud, when they are sent. */
    public function authIsGiven(): bool
    {
        return $this->settings->mode === Mode::Handlers;
    }

    /**
     * @param array<mixed> $items
     * @return array{0: list<array<string, mixed>>, 1: list<mixed>} the relay's, the rest
     */
    public function split(array $items): array
    {
        [$ours, $rest] = [[], []];
        foreach ($items as $item) {
            if (is_array($item) && $this->isRelays($item)) {
                $ours[] = $item;
            } else {
                $rest[] = $item;
            }
        }
        return [$ours, $rest];
    }
}
