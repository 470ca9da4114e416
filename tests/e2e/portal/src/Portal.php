<?php
// Promises: wires one hit's objects together.
// Leans on: the environment variable STAND_IN_STATE_DIR, a folder this portal has for itself.
// Never: shares anything between hits but that folder.
declare(strict_types=1);

namespace StandIn;

use RuntimeException;

final class Portal
{
    public readonly State $state;
    public readonly Settings $settings;
    public readonly Identity $identity;
    public readonly Relay $relay;
    public readonly Events $events;
    public readonly Apps $apps;
    public readonly TokenCache $cache;
    public readonly Authorizations $authorizations;
    public readonly Deals $deals;
    public readonly RestServer $rest;
    public readonly OAuthPages $pages;

    public function __construct(string $folder)
    {
        $this->state = new State($folder);
        $this->settings = new Settings($this->state);
        $this->identity = new Identity($this->settings);
        $this->relay = new Relay($this->state, $this->settings, $this->identity);
        $this->events = new Events($this->state, $this->settings, $this->identity, $this->relay);
        $this->apps = new Apps($this->state, $this->identity, $this->relay, $this->events);
        $this->cache = new TokenCache($this->state, $this->settings);
        $this->authorizations = new Authorizations(
            $this->state,
            $this->settings,
            $this->identity,
            $this->relay,
            $this->cache,
            $this->apps,
            $this->events,
        );
        $this->deals = new Deals($this->state, $this->settings, $this->events);
        $this->rest = new RestServer(
            new TokenGuard($this->state, $this->settings, $this->relay, $this->cache),
            new RestMethods($this->state, $this->settings, $this->events, $this->deals),
        );
        $this->pages = new OAuthPages($this->settings, $this->identity, $this->authorizations, $this->relay);
    }

    public static function fromEnvironment(): self
    {
        $folder = (string) getenv('STAND_IN_STATE_DIR');
        if ($folder === '' || !is_dir($folder)) {
            throw new RuntimeException('STAND_IN_STATE_DIR must name a folder.');
        }

        return new self($folder);
    }
}
