<?php

// Promises: every file is sound PHP, opens as the house does, and both languages say the same.
// Leans on: php -l and the language files.
// Must never: read files outside the module.

declare(strict_types=1);


use Bitrelay\Tests\Expect;

$module = dirname(__DIR__, 2) . '/bitrelay.connector';
$files = static function (string $folder): array {
    $found = [];
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($folder, FilesystemIterator::SKIP_DOTS)) as $file) {
        if ($file->getExtension() === 'php') {
            $found[] = $file->getPathname();
        }
    }
    sort($found);
    return $found;
};
$messages = static function (string $file): array {
    $MESS = [];
    include $file;
    return $MESS;
};

return [
    'php -l passes over every file' => static function () use ($files): string {
        $all = $files(dirname(__DIR__, 2));
        foreach ($all as $file) {
            exec('php -n -l ' . escapeshellarg($file) . ' 2>&1', $output, $code);
            Expect::same(0, $code, implode("\n", $output));
        }
        return count($all) . ' files';
    },
    'every file is strict and opens with its three lines' => static function () use ($files): void {
        foreach ($files(dirname(__DIR__, 2)) as $file) {
            $text = (string)file_get_contents($file);
            Expect::same(1, preg_match('~^<\?php\n\n// Promises: .+\n// Leans on: .+\n// Must never: .+\n\ndeclare\(strict_types=1\);\n~', $text), $file);
        }
    },
    'no file of the module is longer than a few hundred lines' => static function () use ($files, $module): void {
        foreach ($files($module) as $file) {
            Expect::true(count((array)file($file)) <= 300, $file . ' is too long');
        }
    },
    'Russian and English keys match one to one, placeholders included' => static function () use ($files, $module, $messages): string {
        $english = $files($module . '/lang/en');
        $russian = $files($module . '/lang/ru');
        $count = 0;
        $tail = static fn (string $file): string => preg_replace('~^.*/lang/(en|ru)/~', '', $file);
        Expect::same(array_map($tail, $english), array_map($tail, $russian));
        foreach ($english as $at => $file) {
            $en = $messages($file);
            $ru = $messages($russian[$at]);
            Expect::same(array_keys($en), array_keys($ru), $file);
            foreach ($en as $key => $text) {
                Expect::true(trim($text) !== '' && trim($ru[$key]) !== '', $key . ' is empty');
                preg_match_all('/#[A-Z]+#/', $text, $a);
                preg_match_all('/#[A-Z]+#/', $ru[$key], $b);
                Expect::same([], array_merge(array_diff($a[0], $b[0]), array_diff($b[0], $a[0])), $key);
                Expect::true(preg_match('/\p{Cyrillic}/u', $ru[$key]) === 1, $key . ' is not Russian');
                $count++;
            }
        }
        return $count . ' messages';
    },
    'every message the code asks for exists, and every message is asked for' => static function () use ($files, $module, $messages): void {
        $known = [];
        foreach ($files($module . '/lang/en') as $file) {
            $known += $messages($file);
        }
        $code = '';
        foreach ($files($module) as $file) {
            $code .= str_contains($file, '/lang/') ? '' : file_get_contents($file);
        }
        preg_match_all("/'(BITRELAY_[A-Z_]+[A-Z])'/", $code, $asked);
        preg_match_all("/Finding::(ok|warn|fail)\('([A-Z_]+)'/", $code, $findings, PREG_SET_ORDER);
        foreach ($findings as [, $level, $name]) {
            $asked[1][] = 'BITRELAY_CHECK_' . $name;
            if ($level !== 'ok') {
                $asked[1][] = 'BITRELAY_CHECK_' . $name . '_FIX';
            }
        }
        foreach (['TLS_UNTRUSTED', 'TLS_OTHER_CA'] as $chosen) {
            array_push($asked[1], 'BITRELAY_CHECK_' . $chosen, 'BITRELAY_CHECK_' . $chosen . '_FIX');
        }
        foreach (Bitrelay\Connector\Mode::cases() as $mode) {
            $asked[1][] = 'BITRELAY_MODE_' . strtoupper($mode->value);
        }
        foreach ([...Bitrelay\Connector\Admin\SettingsForm::SWITCHES, ...array_keys(Bitrelay\Connector\Settings::BOUNDS), 'apps', 'hosts', 'capture_events'] as $name) {
            $asked[1][] = 'BITRELAY_' . strtoupper($name);
        }
        foreach (['CODE_MALFORMED', 'CODE_VERSION', 'URL_MALFORMED', 'CA_MALFORMED'] as $fault) {
            $asked[1][] = 'BITRELAY_FAULT_' . $fault;
        }
        foreach (['OK', 'WARN', 'FAIL'] as $level) {
            $asked[1][] = 'BITRELAY_LEVEL_' . $level;
        }
        Expect::same([], array_values(array_diff($asked[1], array_keys($known))), 'missing');
        Expect::same([], array_values(array_diff(array_keys($known), $asked[1])), 'unused');
    },
    'every class loads beside the kernel\'s signatures, every import is used, every static call exists' => static function () use ($files, $module): string {
        foreach (['BITRIX_OAUTH_URL', 'BITRIXREST_URL'] as $name) {
            defined($name) || define($name, 'http://127.0.0.1');
        }
        $calls = 0;
        foreach ($files($module . '/lib') as $file) {
            $text = (string)file_get_contents($file);
            $class = 'Bitrelay\\Connector\\' . str_replace('/', '\\', substr($file, strlen($module . '/lib/'), -4));
            Expect::true(class_exists($class) || enum_exists($class), $class);
            preg_match_all('/^use ([\\\\\w]+);$/m', $text, $uses);
            $imports = [];
            foreach ($uses[1] as $import) {
                $short = substr($import, (int)strrpos('\\' . $import, '\\'));
                $imports[$short] = $import;
                Expect::true(class_exists($import) || interface_exists($import) || enum_exists($import), $file . ' imports ' . $import);
                Expect::true(preg_match_all('/\b' . $short . '\b/', $text) > 1, $file . ' does not use ' . $import);
            }
            preg_match_all('/(?<![\\w$>])(\\?[A-Z][\\\\\w]*)::(\w+)\(/', $text, $found, PREG_SET_ORDER);
            foreach ($found as [, $name, $method]) {
                $target = $name[0] === '\\' ? substr($name, 1) : ($imports[$name] ?? (new ReflectionClass($class))->getNamespaceName() . '\\' . $name);
                Expect::true(method_exists($target, $method), $file . ' calls ' . $target . '::' . $method);
                $calls++;
            }
            preg_match_all('/\$this->(\w+)\(|self::(\w+)\(/', $text, $own);
            foreach (array_filter(array_merge($own[1], $own[2])) as $method) {
                $isProperty = property_exists($class, $method);
                Expect::true($isProperty || method_exists($class, $method), $file . ' calls its own ' . $method);
                $calls++;
            }
        }
        return $calls . ' calls';
    },
    'nothing is logged, dumped or evaluated' => static function () use ($files, $module): void {
        foreach ($files($module) as $file) {
            Expect::same(0, preg_match('/\b(AddMessage2Log|error_log|var_dump|print_r|eval|exec|shell_exec|unserialize|writeToLog)\s*\(/i', (string)file_get_contents($file)), $file);
        }
    },
];
