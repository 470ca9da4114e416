<?php

// Promises: the doors through which the kernel enters the module; each does one thing and leaves.
// Leans on: Wiring for the parts.
// Must never: let anything but the one documented NetworkException out, or work while the mode is off.

declare(strict_types=1);

namespace Bitrelay\Connector;

use Bitrelay\Connector\Outbox\QueueTap;
use Bitrelay\Connector\Token\SealedStorage;
use Bitrix\Main\Web\Http\NetworkException;
use Bitrix\Main\Web\Http\RequestEvent;
use Bitrix\Rest\Application;
use Bitrix\Rest\Event\Sender;
use Bitrix\Rest\OAuth\Auth;

final class EventHandlers
{
    /**
     * Put the sealed storage under the stock validator and leave the checking to it.
     *
     * @param array<mixed> $query
     */
    public static function onRestCheckAuth(array $query, mixed $scope, mixed &$res): ?bool
    {
        try {
            $wiring = Wiring::instance();
            if ($wiring->settings->connected() && $wiring->settings->mode->hasRelayTokens()) {
                $storage = Auth::getStorage();
                if (!$storage instanceof SealedStorage) {
                    Auth::setStorage($wiring->sealedStorage($storage));
                }
            }
        } catch (\Throwable) {
            // The stock validator goes on as if the module were not there.
        }
        return null;
    }

    public static function onEventManagerInitialize(mixed $event = null): void
    {
        try {
            $wiring = Wiring::instance();
            if ($wiring->settings->connected() && $wiring->settings->outbox) {
                Sender::setProvider($wiring->outboxProvider());
            }
        } catch (\Throwable) {
            // The stock provider stays.
        }
    }

    public static function onApplicationManagerInitialize(mixed $event = null): void
    {
        try {
            $wiring = Wiring::instance();
            if ($wiring->settings->connected() && $wiring->settings->mode === Mode::Apps) {
                Application::setAuthProvider($wiring->authProvider());
            }
        } catch (\Throwable) {
            // The stock provider stays.
        }
    }

    /** Early in every hit: an exit or an uncaught exception must not take events with it. */
    public static function onPageStart(): void
    {
        register_shutdown_function(self::onShutdown(...));
    }

    /** Before every background job of the hit. */
    public static function onAfterEpilog(): void
    {
        self::drain(false);
    }

    public static function onShutdown(): void
    {
        self::drain(false, true);
    }

    /** On a business event that the settings name: the row follows the business transaction. */
    public static function onBusinessEvent(mixed ...$arguments): void
    {
        self::drain(true);
    }

    /** @throws NetworkException when a direct sender's events have been stored instead */
    public static function onHttpClientBuildRequest(mixed $event): void
    {
        try {
            $wiring = Wiring::instance();
            if (!$event instanceof RequestEvent || !$wiring->settings->connected()) {
                return;
            }
            if (strtolower($event->getRequest()->getUri()->getHost()) === $wiring->settings->relayHost()) {
                $wiring->trustedCa()->apply($event->getClient());
                $event->getClient()->setTimeout($wiring->settings->connectTimeoutS);
                $event->getClient()->setStreamTimeout($wiring->settings->readTimeoutS);
            }
            if ($wiring->settings->outbox) {
                $wiring->directSenders()->intercept($event);
            }
        } catch (NetworkException $stored) {
            throw $stored;
        } catch (\Throwable) {
            // The request goes out as it was.
        }
    }

    private static function drain(bool $insideTransaction, bool $atShutdown = false): void
    {
        try {
            // Most hits fire no event; do not load the sender, or anything else, for them.
            if (!class_exists(Sender::class, false) || QueueTap::isEmpty()) {
                return;
            }
            $wiring = Wiring::instance();
            $settings = $wiring->settings;
            if ($settings->connected() && $settings->outbox && (!$atShutdown || $settings->shutdownNet)) {
                $wiring->capture()->drain($insideTransaction);
            }
        } catch (\Throwable) {
            // What was not taken is still in the queue.
        }
    }
}
