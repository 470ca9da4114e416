<?php

// Promises: the one place where the module's parts are put together; each part is made on first use.
// Leans on: Settings and the kernel's connections.
// Must never: decide anything.

declare(strict_types=1);

namespace Bitrelay\Connector;

use Bitrelay\Connector\Outbox\Capture;
use Bitrelay\Connector\Outbox\Courier;
use Bitrelay\Connector\Outbox\DirectSenders;
use Bitrelay\Connector\Outbox\GivenAuth;
use Bitrelay\Connector\Outbox\Outbox;
use Bitrelay\Connector\Outbox\OutboxProvider;
use Bitrelay\Connector\Outbox\Routing;
use Bitrelay\Connector\Portal\NodeCache;
use Bitrelay\Connector\Portal\OutboxBound;
use Bitrelay\Connector\Portal\OwnConnection;
use Bitrelay\Connector\Portal\State;
use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\RelayAuthProvider;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrelay\Connector\Relay\TrustedCa;
use Bitrelay\Connector\Token\BundleKeeper;
use Bitrelay\Connector\Token\BundleStore;
use Bitrelay\Connector\Token\OnlineCheck;
use Bitrelay\Connector\Token\SealedStorage;
use Bitrelay\Connector\Token\TokenNotes;
use Bitrelay\Connector\Token\UserAccess;
use Bitrix\Main\Application;
use Bitrix\Rest\AuthStorageInterface;
use Bitrix\Rest\Event\ProviderInterface;
use Bitrix\Rest\Event\ProviderOAuth;

final class Wiring
{
    /** How long a web worker may be kept busy after its answer, and an agent in its turn. */
    public const HIT_BUDGET_S = 5;
    public const AGENT_BUDGET_S = 10;

    private static ?self $instance = null;

    /** @var array<string, object> */
    private array $parts = [];

    public function __construct(public readonly Settings $settings)
    {
    }

    public static function instance(): self
    {
        return self::$instance ??= new self(Settings::load());
    }

    /** After the settings have changed in this process. */
    public static function reset(): self
    {
        self::$instance = null;
        return self::instance();
    }

    public function cache(): NodeCache
    {
        return $this->once(NodeCache::class, NodeCache::ofPortal(...));
    }

    public function state(): State
    {
        return $this->once(State::class, static fn (): State => new State(OwnConnection::get()));
    }

    public function backoff(string $name = Backoff::RELAY): Backoff
    {
        return $this->once($name, fn (): Backoff => new Backoff(
            $this->state(),
            $this->settings->backoffMinS,
            $this->settings->backoffMaxS,
            $name
        ));
    }

    public function trustedCa(): TrustedCa
    {
        return $this->once(TrustedCa::class, fn (): TrustedCa => new TrustedCa($this->settings->ca, $this->cache()));
    }

    public function relay(): RelayClient
    {
        return $this->once(RelayClient::class, fn (): RelayClient => new RelayClient($this->settings, $this->trustedCa()));
    }

    public function routing(): Routing
    {
        return $this->once(Routing::class, fn (): Routing => new Routing($this->settings));
    }

    public function outbox(): Outbox
    {
        return $this->once(Outbox::class, static fn (): Outbox => new Outbox(OwnConnection::get()));
    }

    public function outboxBound(): OutboxBound
    {
        return $this->once(OutboxBound::class, fn (): OutboxBound => new OutboxBound(
            $this->state(),
            $this->outbox(),
            $this->settings->outboxLimit,
            $this->settings->outboxWarnPercent
        ));
    }

    public function courier(): Courier
    {
        return $this->once(Courier::class, fn (): Courier => new Courier(
            $this->outbox(),
            $this->relay(),
            $this->backoff(),
            $this->state(),
            OwnConnection::get(),
            static fn (): GivenAuth => new GivenAuth(),
            $this->backoff(Backoff::CLOUD)
        ));
    }

    public function capture(): Capture
    {
        return $this->once(Capture::class, fn (): Capture => new Capture(
            $this->routing(),
            $this->outbox(...),
            static fn (): Outbox => new Outbox(Application::getConnection()),
            $this->courier(...),
            fn (): bool => $this->outboxBound()->hasRoom(time()),
            self::HIT_BUDGET_S
        ));
    }

    public function outboxProvider(): OutboxProvider
    {
        return $this->once(OutboxProvider::class, fn (): OutboxProvider => new OutboxProvider(
            $this->capture(),
            $this->routing(),
            static fn (): ProviderInterface => ProviderOAuth::instance()
        ));
    }

    public function directSenders(): DirectSenders
    {
        return $this->once(DirectSenders::class, fn (): DirectSenders => new DirectSenders(
            $this->settings,
            $this->routing(),
            $this->capture()
        ));
    }

    public function authProvider(): RelayAuthProvider
    {
        return RelayAuthProvider::forApps($this->settings->apps, $this->relay());
    }

    public function bundles(): BundleStore
    {
        return $this->once(BundleStore::class, fn (): BundleStore => new BundleStore($this->state(...), $this->cache()));
    }

    public function bundleKeeper(): BundleKeeper
    {
        return $this->once(BundleKeeper::class, fn (): BundleKeeper => new BundleKeeper(
            $this->relay(),
            $this->bundles(),
            $this->state(),
            $this->backoff(),
            OwnConnection::get(),
            $this->settings->relayUrl
        ));
    }

    public function tokenNotes(): TokenNotes
    {
        return $this->once(TokenNotes::class, fn (): TokenNotes => new TokenNotes($this->cache()));
    }

    public function sealedStorage(AuthStorageInterface $inner): SealedStorage
    {
        return new SealedStorage(
            $inner,
            $this->settings,
            $this->bundles(),
            $this->bundleKeeper(...),
            new OnlineCheck($this->relay(), fn (): Backoff => $this->backoff()),
            new UserAccess($this->cache()),
            $this->tokenNotes()
        );
    }

    /**
     * @template T of object
     * @param \Closure(): T $make
     * @return T
     */
    private function once(string $name, \Closure $make): object
    {
        return $this->parts[$name] ??= $make();
    }
}
